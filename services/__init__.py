"""The four services of Reeve and the process that runs them together."""
