"""Tests: contract of the notifications service."""
