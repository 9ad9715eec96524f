"""One operation on many accounts."""
