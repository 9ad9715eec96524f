"""What a write does, and which event it leaves."""
