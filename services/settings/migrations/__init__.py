"""Revisions of the settings schema."""
