"""Events from other platform services, and the catalogue of what may be sent."""
