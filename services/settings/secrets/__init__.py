"""Secrets at rest: AES-256-GCM, one data key per secret version, wrapped by a key from outside the database."""
