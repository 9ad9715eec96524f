"""The audit log, as the gateway fronts it."""
