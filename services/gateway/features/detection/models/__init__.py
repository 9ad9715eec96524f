"""Rules, the windows they look through, and what they find. Pure."""
