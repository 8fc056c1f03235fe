"""The viewsets: projects, tasks, comments, members."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django.utils.functional import cached_property
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.serializers import BaseSerializer

from django_pm.api.base import ProjectObjectViewSet
from django_pm.api.fields import parse_key
from django_pm.api.filters import DeclaredFilters, ProjectFilterSet, TaskFilterSet
from django_pm.api.serializers import CommentSerializer, MembershipSerializer, ProjectSerializer, TaskSerializer
from django_pm.models import Comment, Membership, Project, Task
from django_pm.models.base import ProjectObject
from django_pm.services.members import add_member, change_role, remove_member
from django_pm.services.projects import create_project
from django_pm.services.tasks import require_move
from django_pm.users import display_name


class ProjectViewSet(ProjectObjectViewSet):
    """Projects that the signed-in user may see."""

    queryset = Project.objects.all()
    serializer_class = ProjectSerializer
    filterset_class = ProjectFilterSet
    derived_fields = {"task_count": 0, "completed_task_count": 0}
    ordering_fields = {"created_at": "created_at", "updated_at": "updated_at", "name": "name"}
    is_cached = True

    def rows(self) -> QuerySet[Project]:
        return self.queryset.with_counts()

    def candidate(self, values: dict[str, Any]) -> Project:
        return Project()

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.instance = create_project(actor=self.request.user, **serializer.validated_data)


class TaskViewSet(ProjectObjectViewSet):
    """Tasks of the projects that the signed-in user may see."""

    queryset = Task.objects.all()
    serializer_class = TaskSerializer
    filterset_class = TaskFilterSet
    derived_fields = {"comment_count": 0}
    ordering_fields = {
        "created_at": "created_at",
        "updated_at": "updated_at",
        "due_date": "due_date",
        "priority": "priority",
        "title": "title",
    }
    is_cached = True
    relative_parameters = frozenset({"overdue"})

    def only_project(self) -> Any:
        if not self._filters_by_one_project():
            return None
        try:
            return parse_key(Project, self.request.query_params.get("project", ""))
        except ValueError:
            return None

    def _filters_by_one_project(self) -> bool:
        """Whether ``?project=`` means what it means to us: to a host's own filters it may mean several, or nothing."""
        is_ours = type(self).filter_queryset is GenericAPIView.filter_queryset and self.filterset_class is TaskFilterSet
        return is_ours and DeclaredFilters in self.filter_backends

    def rows(self) -> QuerySet[Task]:
        return self.queryset.with_counts()

    def candidate(self, values: dict[str, Any]) -> Task:
        return Task(project=values["project"])

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.save(created_by=self.request.user)

    def authorise_change(self, instance: Task, values: dict[str, Any]) -> None:
        if "project" in values:
            require_move(actor=self.request.user, task=instance, project=values["project"])


class NestedViewSet(ProjectObjectViewSet):
    """Rows under a parent in the URL: the parent is found first, so a hidden one is 404 whatever the rest says."""

    def list(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        _found = self.parent
        return super().list(request, *args, **kwargs)

    def authorise_creation(self) -> None:
        self.require("add", self.candidate({}))

    def only_project(self) -> Any:
        return self.parent.owning_project_id

    def look_again(self) -> None:
        del self.parent

    @cached_property
    def parent(self) -> Any:
        """The project or task this URL is under."""
        raise NotImplementedError


class CommentViewSet(NestedViewSet):
    """Comments of one task (``/tasks/<id>/comments/``), or one comment by its own id."""

    queryset = Comment.objects.select_related("task")
    serializer_class = CommentSerializer
    filter_backends: list[Any] = []
    default_ordering = "created_at"
    is_cached = True

    @cached_property
    def parent(self) -> Task:
        task: Task = self.get_visible(Task.objects.using(self.using), self.kwargs["task_id"])
        return task

    def rows(self) -> QuerySet[Comment]:
        rows: QuerySet[Comment] = super().rows()
        return rows.filter(task=self.kwargs["task_id"]) if "task_id" in self.kwargs else rows

    def candidate(self, values: dict[str, Any]) -> Comment:
        return Comment(task=self.parent, user=self.request.user)

    def perform_create(self, serializer: BaseSerializer) -> None:
        user = self.request.user
        author = serializer.validated_data.get("author") or display_name(user)
        serializer.save(task=self.parent, user=user, author=author)


class MembershipViewSet(NestedViewSet):
    """The people of one project and their roles."""

    queryset = Membership.objects.all()
    serializer_class = MembershipSerializer
    filter_backends: list[Any] = []
    ordering_fields = {"id": "pk"}
    default_ordering = "id"
    is_cached = True

    @cached_property
    def parent(self) -> Project:
        project: Project = self.get_visible(Project.objects.using(self.using), self.kwargs["project_id"])
        return project

    def rows(self) -> QuerySet[Membership]:
        return super().rows().filter(project=self.parent)

    def get_locked(self, *, for_delete: bool = False) -> Membership:
        # The project before its members: whoever deletes the project locks in that order too.
        Project.objects.using(self.using).select_for_update(no_key=True).filter(pk=self.parent.pk).first()
        membership: Membership = super().get_locked(for_delete=for_delete)
        return membership

    def candidate(self, values: dict[str, Any]) -> ProjectObject:
        return Membership(project=self.parent, role=values.get("role", "viewer"))

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.instance = add_member(actor=self.request.user, project=self.parent, **serializer.validated_data)

    def authorise_change(self, instance: Membership, values: dict[str, Any]) -> None:
        """Nobody grants above the own role: the role wanted is judged like the role held."""
        self.require("change", self.candidate(values))

    def perform_update(self, serializer: BaseSerializer) -> None:
        role = serializer.validated_data.get("role", serializer.instance.role)
        change_role(actor=self.request.user, membership=serializer.instance, role=role)

    def perform_destroy(self, instance: Membership) -> None:
        remove_member(actor=self.request.user, membership=instance)
