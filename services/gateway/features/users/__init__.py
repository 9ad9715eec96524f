"""The administrators themselves."""
