"""Keeps the settings of the platform, their history and their secrets."""
