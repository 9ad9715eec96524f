"""Typed clients of the three services behind the gateway: reads only."""
