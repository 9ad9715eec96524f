"""Events that did not fit the schema of their type."""
