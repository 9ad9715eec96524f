"""Reads over HTTP, for the gateway only: each answers the body of the public API, which is streamed on unchanged."""
