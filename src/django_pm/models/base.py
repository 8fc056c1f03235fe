"""What every model of django-pm shares. Host code writes through these classes too: admin, shell, its own views."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar

from django.db import models
from django.db.models import Func, OuterRef, QuerySet, Subquery
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

M = TypeVar("M", bound=models.Model)


class ProjectObjectQuerySet(QuerySet[M]):
    """The queryset of everything that lives in a project."""

    def update(self, **values: Any) -> int:
        """As Django's, and ``updated_at`` moves with it: a row that changed says so."""
        values.setdefault("updated_at", timezone.now())
        return super().update(**values)

    update.alters_data = True  # type: ignore[attr-defined]


class ProjectObject(models.Model):
    """Something that belongs to one project and remembers when it was made and last changed."""

    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    project_lookup: ClassVar[str]
    """The lookup from a row of this model to its project, such as ``"task__project"``."""

    written_along: ClassVar[dict[str, tuple[str, ...]]] = {}
    """Columns that a rule of the model sets when the key's column is written."""

    class Meta:
        abstract = True

    @property
    def owning_project_id(self) -> Any:
        """The primary key of the project this row belongs to."""
        raise NotImplementedError

    def save(
        self,
        *,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """As Django's; a write limited to some columns takes along the columns that follow from them."""
        if update_fields is not None:
            update_fields = self._with_followers(update_fields)
        elif self.pk is not None and (deferred := self.get_deferred_fields()):
            # Django would leave out what is not loaded, so a column that must follow is loaded first.
            loaded = {field.attname for field in self._meta.concrete_fields} - deferred
            if missing := self._with_followers(loaded) & deferred:
                self.refresh_from_db(using=using, fields=missing)
        super().save(force_insert=force_insert, force_update=force_update, using=using, update_fields=update_fields)

    save.alters_data = True  # type: ignore[attr-defined]

    def _with_followers(self, columns: Iterable[str]) -> set[str]:
        names = set(columns)
        followers = {follower for name in names for follower in self.written_along.get(name, ())}
        return names | followers | ({"updated_at"} if names else set())


def related_count(relation: str, model: type[models.Model], **filters: Any) -> Subquery:
    """How many rows of ``relation`` each row has, as a correlated sub-select.

    A join with ``Count`` would group the whole table before the first row of a page is known; this is computed
    only for the rows that are returned. ``COUNT`` without ``GROUP BY`` gives 0, not NULL, where there are none.
    """
    link: Any = model._meta.get_field(relation)
    related: type[models.Model] = link.related_model
    rows = related._base_manager.filter(**{link.field.name: OuterRef("pk")}, **filters).order_by()
    count = Func("pk", function="COUNT", output_field=models.IntegerField())
    return Subquery(rows.annotate(n=count).values("n"), output_field=models.IntegerField())
