"""Health of the whole platform as an administrator sees it."""
