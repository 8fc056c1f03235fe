"""How commands tell what they did."""

from collections import Counter

from django_pm.models import MailState


def told(ended: Counter[str]) -> str:
    """What became of messages, in a line."""
    words = {
        MailState.SENT: "sent",
        MailState.WAITING: "to be tried again",
        MailState.SKIPPED: "not wanted any more",
        MailState.FAILED: "failed",
    }
    parts = [f"{ended[state]} {text}" for state, text in words.items() if ended[state]]
    return f"mail: {', '.join(parts) or 'none due'}"
