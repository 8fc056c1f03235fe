"""Two columns with a rule of their own: a priority that sorts by rank, a completion time that follows the status."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from model_utils.fields import MonitorField


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
        if value is None or value in self.ranks:
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

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = getattr(model_instance, self.attname)
        if self.get_monitored_value(model_instance) not in (self.when or ()):
            value = None
        elif value is None:
            value = timezone.now()
        setattr(model_instance, self.attname, value)
        return value
