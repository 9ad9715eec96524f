"""How long audit entries are kept, and what is held whatever its age."""
