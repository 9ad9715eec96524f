"""Revisions of the gateway's schema."""
