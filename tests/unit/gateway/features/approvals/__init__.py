"""Unit tests of changes that need four eyes."""
