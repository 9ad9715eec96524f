"""Every SQL statement of the settings service."""
