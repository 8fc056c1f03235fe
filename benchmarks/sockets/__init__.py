"""Live notifications: ours beside the conventional consumer and beside a server that does nothing but send."""
