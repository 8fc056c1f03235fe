"""Mail: ours beside one Celery task for each message, and beside a loop that does nothing but send."""
