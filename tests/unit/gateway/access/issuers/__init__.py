"""Tokens of other issuers."""
