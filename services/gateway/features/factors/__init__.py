"""The second factor: time-based codes and the recovery codes for when the device is lost."""
