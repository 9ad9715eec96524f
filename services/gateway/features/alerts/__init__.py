"""Alerts, as the gateway fronts them."""
