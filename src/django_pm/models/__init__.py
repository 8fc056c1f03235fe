"""The tables of django-pm. Import from here; the modules below are where each is told in full."""

from django_pm.models.api_token import ApiToken, Scope
from django_pm.models.comment import AbstractComment, Comment
from django_pm.models.escalation import Action, Condition, EscalationRule, Firing, Outcome
from django_pm.models.event import Event, ProjectStream
from django_pm.models.idempotency import IdempotencyKey
from django_pm.models.mail import Mail, MailKind, MailState
from django_pm.models.membership import Membership, Role
from django_pm.models.notification import Channel, Level, Notification, ProjectChannels, Reason, Watch, Watched
from django_pm.models.preferences import NotificationPreferences
from django_pm.models.project import AbstractProject, Project
from django_pm.models.report import Report
from django_pm.models.subscription import Cursor, ParkedEvent, Subscriber
from django_pm.models.task import AbstractTask, Priority, Status, Task
from django_pm.models.ticket import Ticket

__all__ = [
    "AbstractComment",
    "AbstractProject",
    "AbstractTask",
    "Action",
    "ApiToken",
    "Channel",
    "Comment",
    "Condition",
    "Cursor",
    "EscalationRule",
    "Event",
    "Firing",
    "IdempotencyKey",
    "Level",
    "Mail",
    "MailKind",
    "MailState",
    "Membership",
    "Notification",
    "NotificationPreferences",
    "Outcome",
    "ParkedEvent",
    "Priority",
    "Project",
    "ProjectChannels",
    "ProjectStream",
    "Reason",
    "Report",
    "Role",
    "Scope",
    "Status",
    "Subscriber",
    "Task",
    "Ticket",
    "Watch",
    "Watched",
]
