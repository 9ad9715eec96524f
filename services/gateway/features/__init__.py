"""One folder per admin feature that the gateway owns or fronts."""
