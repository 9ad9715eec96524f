"""Tests of what the gateway's features share."""
