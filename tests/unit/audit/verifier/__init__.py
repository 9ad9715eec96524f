"""Tests: the offline verifier's decisions."""
