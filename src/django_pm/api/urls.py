"""The paths of the API. A host mounts them where it likes: ``path("api/", include("django_pm.api.urls"))``."""

from typing import Any

from django.urls import path

from django_pm.api.feed import EventFeedView
from django_pm.api.notifications import NotificationViewSet
from django_pm.api.preferences import PreferencesView, ProjectPreferencesView
from django_pm.api.reports import ReportViewSet
from django_pm.api.rules import RuleViewSet
from django_pm.api.schema import SchemaView, docs, docs_asset
from django_pm.api.tickets import TicketView
from django_pm.api.tokens import ApiTokenViewSet
from django_pm.api.unsubscribe import unsubscribe
from django_pm.api.views import CommentViewSet, MembershipViewSet, ProjectViewSet, TaskViewSet
from django_pm.api.watching import ProjectWatchView, TaskWatchView

app_name = "django_pm"

LIST: dict[str, Any] = {"get": "list", "post": "create"}
DETAIL: dict[str, Any] = {"get": "retrieve", "put": "update", "patch": "partial_update", "delete": "destroy"}
DETAIL_WITHOUT_PUT: dict[str, Any] = {verb: action for verb, action in DETAIL.items() if verb != "put"}

urlpatterns = [
    path("projects/", ProjectViewSet.as_view(LIST), name="project-list"),
    path("projects/<str:id>/", ProjectViewSet.as_view(DETAIL), name="project-detail"),
    path("projects/<str:project_id>/members/", MembershipViewSet.as_view(LIST), name="member-list"),
    path(
        "projects/<str:project_id>/members/<str:id>/",
        MembershipViewSet.as_view(DETAIL_WITHOUT_PUT),
        name="member-detail",
    ),
    path("projects/<str:project_id>/events/", EventFeedView.as_view(), name="event-feed"),
    path(
        "projects/<str:project_id>/reports/",
        ReportViewSet.as_view({"get": "list", "post": "generate"}),
        name="report-list",
    ),
    path(
        "projects/<str:project_id>/reports/<str:date>/",
        ReportViewSet.as_view({"get": "retrieve"}),
        name="report-detail",
    ),
    path("projects/<str:id>/watch/", ProjectWatchView.as_view(), name="project-watch"),
    path(
        "projects/<str:project_id>/notification-preferences/",
        ProjectPreferencesView.as_view(),
        name="project-notification-preferences",
    ),
    path("projects/<str:project_id>/rules/", RuleViewSet.as_view(LIST), name="rule-list"),
    path("projects/<str:project_id>/rules/<str:id>/", RuleViewSet.as_view(DETAIL), name="rule-detail"),
    path("tasks/", TaskViewSet.as_view(LIST), name="task-list"),
    path("tasks/<str:id>/", TaskViewSet.as_view(DETAIL), name="task-detail"),
    path("tasks/<str:task_id>/comments/", CommentViewSet.as_view(LIST), name="comment-list"),
    path("tasks/<str:id>/watch/", TaskWatchView.as_view(), name="task-watch"),
    path("comments/<str:id>/", CommentViewSet.as_view(DETAIL), name="comment-detail"),
    path("tokens/", ApiTokenViewSet.as_view(LIST), name="token-list"),
    path("tokens/<str:id>/", ApiTokenViewSet.as_view({"get": "retrieve", "delete": "destroy"}), name="token-detail"),
    path("notification-preferences/", PreferencesView.as_view(), name="notification-preferences"),
    path("notifications/", NotificationViewSet.as_view({"get": "list"}), name="notification-list"),
    path("notifications/read-all/", NotificationViewSet.as_view({"post": "read_all"}), name="notification-read-all"),
    path("notifications/<str:id>/read/", NotificationViewSet.as_view({"post": "read"}), name="notification-read"),
    path("notifications/unsubscribe/<str:token>/", unsubscribe, name="unsubscribe"),
    path("notifications/ticket/", TicketView.as_view(), name="ticket"),
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", docs, name="docs"),
    path("docs/<str:name>", docs_asset, name="docs-asset"),
]
