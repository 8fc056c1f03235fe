"""Columns with a rule of their own.

A priority that sorts by rank, a completion time that follows the status, a time of change that tells the truth.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Case, Q, Value, When
from django.db.models.functions import Coalesce
from django.db.models.lookups import Exact
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from model_utils.fields import MonitorField

EARLIEST = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)
LATEST = dt.datetime(9900, 1, 1, tzinfo=dt.UTC)
"""Between these a day earlier and every local time of an instant can be computed, so nobody may type others."""


class RankedChoiceField(models.Field):
    """A choice that is a word in Python and its rank (position among the choices) in the database.

    ``priority="high"`` reads well everywhere, and ``ORDER BY priority`` or ``priority__gte="high"`` compares
    ranks on an ordinary index. New choices may only be appended.
    """

    description = _("Choice stored by its rank")

    def get_internal_type(self) -> str:
        return "SmallIntegerField"

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The choices in the order of their rank."""
        return tuple(value for value, _label in self.flatchoices)

    @cached_property
    def ranks(self) -> dict[str, int]:
        """The rank of each choice."""
        return {word: rank for rank, word in enumerate(self.words)}

    def to_python(self, value: Any) -> str | None:
        if value is None or (isinstance(value, str) and value in self.ranks):
            return value
        raise ValidationError(self.error_messages["invalid_choice"], code="invalid_choice", params={"value": value})

    def from_db_value(self, value: int | None, expression: Any, connection: Any) -> str | None:
        return None if value is None else self.words[value]

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        if value is None or hasattr(value, "as_sql"):
            return value
        try:
            return self.ranks[value]
        except (KeyError, TypeError):
            raise ValueError(f"{value!r} is not one of {', '.join(self.ranks)}") from None


class CompletedAtField(MonitorField):
    """When the monitored status became one of ``when``; empty while it is another.

    ``MonitorField`` compares with the value the instance was loaded with, which leaves the column untouched when
    the status moves away from ``when`` and empty when a row is created in it. Here the two columns of the row
    decide alone: completed and no time yet, now; completed with a time, that time (imports keep theirs); not
    completed, none.
    """

    def contribute_to_class(self, cls: type[models.Model], name: str, *args: Any, **kwargs: Any) -> None:
        # Skips MonitorField's post_init receiver: this rule needs no memory of the loaded value, and the
        # receiver would run for every row of every list.
        super(MonitorField, self).contribute_to_class(cls, name, *args, **kwargs)

    def pre_save(self, model_instance: Any, add: bool) -> Any:
        time = getattr(model_instance, self.attname)
        status = self.status_to_be(model_instance)
        if hasattr(status, "resolve_expression") or hasattr(time, "resolve_expression"):
            time = self.following(status, time)
        elif status not in (self.when or ()):
            time = None
        elif time is None:
            time = timezone.now()
        setattr(model_instance, self.attname, time)
        return time

    def status_to_be(self, instance: Any) -> Any:
        """The status the row will have: a save that does not write it leaves what is there."""
        saving = instance.saving
        if saving is not None and saving.before is not None and not saving.writes(self.monitor):
            return saving.before[self.monitor]
        return self.get_monitored_value(instance)

    def following(self, status: Any, time: Any) -> Case:
        """The rule as an expression, for values that only the database knows."""
        done = Q()
        for value in self.when or ():
            done |= Q(Exact(_expression(status, models.CharField()), Value(value)))
        kept = Coalesce(_expression(time, models.DateTimeField()), Value(timezone.now()))
        return Case(When(done, then=kept), output_field=models.DateTimeField())


def _expression(value: Any, output_field: models.Field) -> Any:
    """``value`` as an expression of a known type; what already is one stays as it is."""
    return value if hasattr(value, "resolve_expression") else Value(value, output_field=output_field)


class ChangedAtField(models.DateTimeField):
    """When the row last changed. A save that changes no tracked column keeps the time."""

    def pre_save(self, model_instance: Any, add: bool) -> Any:
        saving = model_instance.saving
        if add or saving is None or saving.changes_row():
            return super().pre_save(model_instance, add)
        time = saving.before["updated_at"]
        setattr(model_instance, self.attname, time)
        return time
