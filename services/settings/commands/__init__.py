"""Decide and emit: what a write does, and which event it leaves."""
