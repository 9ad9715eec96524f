"""Batches of entries on their way out: syslog and HTTPS. Whoever sends returns once the receiver has confirmed."""
