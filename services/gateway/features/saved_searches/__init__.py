"""Searches of the audit log that administrators keep."""
