"""The types of events and what each may tell, as django_pm/event_types.py and the models say."""

from django.apps import apps

from django_pm import event_types
from django_pm.models.base import ProjectObject
from scripts.reference import markdown


def table() -> str:
    """A row for each type: the kind of its object, and the columns that `changes` may name."""
    rows: dict[str, list[str]] = {}
    for model in apps.get_app_config("django_pm").get_models():
        kind = getattr(model, "event_kind", "")
        if not issubclass(model, ProjectObject) or kind not in event_types.NAMES:
            continue
        for name, columns in zip(event_types.NAMES[kind], columns_of(model), strict=True):
            rows[name] = [f"`{name}`", kind, ", ".join(f"`{column}`" for column in columns)]
    # These tell of no row.
    reasons = "`rule`, `action`, `since`, `outcome`, `role`"
    rows[event_types.TASK_ESCALATED] = [f"`{event_types.TASK_ESCALATED}`", "task", reasons]
    rows[event_types.PROJECT_RESYNC] = [f"`{event_types.PROJECT_RESYNC}`", "project", ""]
    return markdown.table(["type", "object", "columns"], [rows[name] for name in event_types.EVENT_TYPES])


def columns_of(model: type[ProjectObject]) -> tuple[tuple[str, ...], ...]:
    """What is told when a row is made, changed and deleted."""
    columns = (*model.tracked, "updated_at")
    return columns, columns, model.told_on_delete
