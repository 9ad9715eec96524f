"""What the audit service promises to others."""
