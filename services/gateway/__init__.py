"""The only public door: authenticates, authorizes, limits, records and forwards."""
