"""Tests: unit of the notifications service."""
