"""Tests of what must never be seen."""
