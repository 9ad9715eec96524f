"""Contract tests of what the platform is deployed with."""
