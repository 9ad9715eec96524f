"""Tests of the gateway's access control."""
