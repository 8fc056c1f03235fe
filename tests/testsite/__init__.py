"""What a host site brings along: here, a user model unlike Django's own."""
