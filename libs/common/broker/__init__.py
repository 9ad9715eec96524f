"""The message broker behind one interface, and what is declared on it."""
