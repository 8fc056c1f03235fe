"""What this site does about what happens to tasks, called by whatever relays events: `pm_run`, or a worker."""

import logging

from django_pm.models import Event

from worklog.models import TaskDetails

logger = logging.getLogger(__name__)


def on_task_updated(event: Event) -> None:
    """Note what was completed, and for which cost centre, in a line that has the id of the request that did it."""
    if "completed" in event.changes.get("status", [])[1:]:
        details = TaskDetails.objects.filter(task=event.object_id).first()
        centre = (details and details.cost_centre) or "none"
        logger.info("Task %s of project %s is completed, cost centre %s", event.object_id, event.project_id, centre)
