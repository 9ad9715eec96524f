"""Settings, as the gateway fronts them."""
