"""Every message type of the platform, and the only wire format."""
