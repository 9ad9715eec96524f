"""Postgres: engine, migrations, outbox and inbox."""
