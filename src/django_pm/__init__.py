"""Projects, tasks and comments for the Django site you already have."""

__version__ = "0.1.0.dev0"
