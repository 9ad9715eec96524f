"""Services as they run: real ports, real signals, real processes."""
