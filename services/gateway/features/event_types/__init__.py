"""The catalogue of event types: Reeve's own, and those that platforms register with a schema."""
