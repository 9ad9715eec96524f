"""Archives of the log: files that were verified before anything goes, in a folder or in storage that speaks S3."""
