"""The audit log for transparency-log clients: its key, its checkpoint and its tiles."""
