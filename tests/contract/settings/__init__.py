"""Tests of the settings service: contract."""
