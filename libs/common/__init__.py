"""What every service of Reeve stands on: messages, database, broker, delivery and web."""
