"""Objects in storage that speaks S3: their names, signed requests, and what a refusal means."""
