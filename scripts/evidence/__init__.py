"""Captures what docs/evidence/ shows, from the real things: `make evidence`."""
