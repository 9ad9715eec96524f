"""Personal data that is erased from the audit log."""
