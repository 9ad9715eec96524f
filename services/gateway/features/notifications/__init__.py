"""Notifications and alerts, as the gateway fronts them."""
