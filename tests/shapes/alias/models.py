"""What the site has had all along."""

from django.db import models


class Invoice(models.Model):
    """In the other database. It names a project, but no database could hold it to that."""

    number = models.CharField(max_length=20)
    project_id = models.BigIntegerField()

    class Meta:
        app_label = "alias"

    def __str__(self) -> str:
        return self.number
