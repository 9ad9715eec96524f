"""Changes that need four eyes: what waits, for whom, until when."""
