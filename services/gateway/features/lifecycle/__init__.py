"""An account's end: switched off, deleted, erased."""
