"""Exports: background jobs of the services behind the gateway, each for whoever may export its source."""
