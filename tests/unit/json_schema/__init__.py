"""Tests of the bounded subset of JSON Schema."""
