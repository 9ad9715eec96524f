"""The notifications service: tells administrators what needs them, and keeps alerts until somebody deals with them."""
