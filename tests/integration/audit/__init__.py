"""Tests of the audit service on a real Postgres."""
