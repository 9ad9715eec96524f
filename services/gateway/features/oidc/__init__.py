"""Signing in at an OpenID Provider."""
