"""Keeps what happened: every event of the platform as an append-only entry."""
