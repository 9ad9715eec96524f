"""What a setting is and what may be done to it: pure, without I/O."""
