"""Permissions that are asked for and granted for a time, and why somebody may or may not."""
