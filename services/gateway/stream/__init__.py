"""Live updates: one queue of events per gateway instance, pushed to its connected clients."""
