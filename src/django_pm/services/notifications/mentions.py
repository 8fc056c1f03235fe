"""``@login`` in a text: who is meant by it."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from django.contrib.auth import get_user_model

from django_pm import users
from django_pm.services.notifications.channels import chunks

MENTION = re.compile(r"(?<![\w@.+-])@([\w.@+-]{1,254})")
"""The characters of Django's own login names; an address as a login name is one too. Not within an address."""

TRAILING = ".-+@"
"""What may end a sentence, or a login name: both are looked for."""

OF_THE_NAME = 3
"""How many of these behind a name may be the name's, if not all are. Else a row of dots would be as many names."""


def logins_in(text: str) -> set[str]:
    """The login names that ``text`` may mention."""
    found = set(MENTION.findall(text))
    for login in tuple(found):
        least = len(login.rstrip(TRAILING))
        found.update(login[:end] for end in range(least, min(least + OF_THE_NAME + 1, len(login))))
    return found - {""}


def mentioned_in(text: str) -> set[Any]:
    """The keys of the active users whom ``text`` mentions, whatever they may see.

    Where a sentence ends behind a name and both with and without its end are somebody's, the longer one is meant.
    Names are kept in one of the forms that Unicode has for the same letters (NFKC), so the text is read in it.
    """
    text = unicodedata.normalize("NFKC", text)
    logins = logins_in(text)
    name = get_user_model().USERNAME_FIELD
    found: dict[str, Any] = {}
    for some in chunks(logins):
        found |= dict(users.active_users().filter(**{f"{name}__in": some}).values_list(name, "pk"))
    return {found[meant] for login in MENTION.findall(text) if (meant := _meant(login, found))}


def _meant(login: str, known: dict[str, Any]) -> str:
    """What of ``login`` is somebody's name; empty if nothing is."""
    while login and login not in known:
        login = login[:-1] if login[-1] in TRAILING else ""
    return login
