"""Platform services as OAuth clients."""
