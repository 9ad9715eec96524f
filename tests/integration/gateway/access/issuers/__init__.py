"""Trusted issuers over the network."""
