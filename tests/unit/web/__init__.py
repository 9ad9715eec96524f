"""Tests of what an application in one process answers: no port, no I/O."""
