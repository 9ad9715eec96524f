"""Every SQL statement of the audit service. Nothing here commits."""
