"""Tokens of others: which issuers are trusted, by which keys, and what their claims make of a caller."""
