"""Security events: what was detected, what became of it, and the alert that critical ones raise in any case."""
