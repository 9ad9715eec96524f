"""Tests: what an auditor may rely on, the offline verifier over files."""
