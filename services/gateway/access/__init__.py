"""Who may do what: permissions, tokens, sessions, limits and the guard that every route declares."""
