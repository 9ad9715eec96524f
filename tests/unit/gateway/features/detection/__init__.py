"""Tests of permissions asked for and granted for a time."""
