"""Tests: integration of the notifications service."""
