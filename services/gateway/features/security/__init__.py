"""What protects the control plane itself: addresses that may call."""
