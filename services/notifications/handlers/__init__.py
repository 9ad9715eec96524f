"""Messages in: events that rules look at, and commands."""
