"""Tests of the settings service: integration."""
