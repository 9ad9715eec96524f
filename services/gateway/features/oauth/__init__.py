"""The token endpoint of OAuth 2.0."""
