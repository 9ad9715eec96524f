"""Tests of the settings service: unit."""
