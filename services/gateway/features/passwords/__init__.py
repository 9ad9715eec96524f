"""Passwords chosen by whoever has a link that works once, and asking for such a link."""
