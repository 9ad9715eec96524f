"""`Idempotency-Key`: a POST that is repeated has one effect and one answer."""
