"""The stream of live updates, as clients open it."""
