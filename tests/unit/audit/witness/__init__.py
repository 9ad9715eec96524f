"""The witness, by itself."""
