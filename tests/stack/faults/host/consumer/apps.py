"""Notes every event that it is handed.

What takes its time on a site is shorter here: mail is claimed for seconds, not minutes, and a process keeps so few
lists that it has as many as it may after a minute, not after an hour.
"""

import datetime as dt

from django.apps import AppConfig

CLAIM = dt.timedelta(seconds=6)
LISTS = 2**20
"""Bytes."""


class ConsumerConfig(AppConfig):
    name = "consumer"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from consumer.models import hear
        from django_pm import events
        from django_pm.api import lists
        from django_pm.cache.local import LocalStore
        from django_pm.mail import sending

        sending.CLAIMED_FOR, sending.SENDING_FOR = CLAIM, CLAIM * 2 / 3
        lists.answers.local = LocalStore(LISTS)
        events.subscribe("ledger", hear)
