"""What every template of the site may want to know."""

from django.conf import settings
from django.http import HttpRequest


def mailbox(request: HttpRequest) -> dict[str, bool]:
    """Whether mail stays here, where /mailbox/ shows it."""
    return {"has_mailbox": settings.MAIL_FOLDER is not None}
