"""Sinks: where the entries of the audit log stream to."""
