"""Typed clients of the three services behind the gateway: reads, and the one event that cannot wait for the bus."""
