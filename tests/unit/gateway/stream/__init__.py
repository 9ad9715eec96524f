"""Tests of the gateway's live updates."""
