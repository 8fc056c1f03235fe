"""The next release of it, with a column more."""

from typing import Any

from django.db import models


class Heard(models.Model):
    uuid = models.UUIDField()
    project_id = models.BigIntegerField()
    seq = models.BigIntegerField()
    release = models.IntegerField(db_default=1)

    def __str__(self) -> str:
        return f"{self.project_id}/{self.seq}"


def hear(event: Any) -> None:
    Heard.objects.create(uuid=event.uuid, project_id=event.project_id, seq=event.seq, release=2)
