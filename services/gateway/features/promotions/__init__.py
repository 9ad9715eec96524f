"""What gives somebody everything, as changes that need four eyes."""
