"""What a subscriber was handed: a row for each time, so that the same event twice would show."""

from typing import Any

from django.db import models


class Heard(models.Model):
    uuid = models.UUIDField()
    project_id = models.BigIntegerField()
    seq = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.project_id}/{self.seq}"


def hear(event: Any) -> None:
    Heard.objects.create(uuid=event.uuid, project_id=event.project_id, seq=event.seq)
