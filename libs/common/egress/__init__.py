"""Calls to the world outside: to the addresses that they may reach, and to no other."""
