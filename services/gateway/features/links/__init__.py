"""Links that work once: made, sent by the notifications service, taken, and ended."""
