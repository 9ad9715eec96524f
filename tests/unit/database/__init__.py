"""The pure decisions of the database room."""
