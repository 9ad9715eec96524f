"""Places outside of the database that keep the log's signed heads: a file, a webhook, a time-stamper."""
