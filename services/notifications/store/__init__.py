"""Every SQL statement of the notifications service."""
