"""Events from other platform services."""
