"""Libraries shared by every service."""
