"""The roles and what each may do."""
