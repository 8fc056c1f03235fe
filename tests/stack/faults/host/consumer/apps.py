"""Notes every event that it is handed. Mail is claimed for seconds here, so that nobody waits three minutes for it."""

import datetime as dt

from django.apps import AppConfig

CLAIM = dt.timedelta(seconds=6)


class ConsumerConfig(AppConfig):
    name = "consumer"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from consumer.models import hear
        from django_pm import events, mail

        mail.CLAIMED_FOR, mail.SENDING_FOR = CLAIM, CLAIM * 2 / 3
        events.subscribe("ledger", hear)
