"""Numbered revisions of the schema `notifications`."""
