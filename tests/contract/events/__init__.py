"""Tests of the catalogue: what was released stays readable."""
