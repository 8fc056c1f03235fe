"""The example site: how it is configured, and which address leads where."""
