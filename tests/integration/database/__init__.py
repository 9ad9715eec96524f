"""The database room on a real Postgres."""
