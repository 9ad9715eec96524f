"""Tests of what every file of the project has in common."""
