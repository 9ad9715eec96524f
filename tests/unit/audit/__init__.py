"""Tests of the audit service without I/O."""
