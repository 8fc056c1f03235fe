"""The host site's own users."""
