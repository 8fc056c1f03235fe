"""A host's subclass of a view or a serializer answers what plain Django REST framework would, whatever it adds.

Each class here is asked twice: as it is, and with the list and the renderer that the REST framework itself brings.
"""

from __future__ import annotations

import json
import re
from typing import Any
from unittest.mock import patch

import django_filters
import pytest
from django.db.models import Avg, Count, F, IntegerField, Value
from django.db.models.signals import post_init
from django.test.utils import isolate_apps
from rest_framework import serializers
from rest_framework.filters import SearchFilter
from rest_framework.mixins import ListModelMixin
from rest_framework.pagination import PageNumberPagination
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory, force_authenticate
from rest_framework.utils.encoders import JSONEncoder

from django_pm.api.base import ObjectViewSet
from django_pm.api.fields import InstantField, StringField
from django_pm.api.filters import TaskFilterSet
from django_pm.api.pagination import KeysetPagination
from django_pm.api.renderers import FastJSONRenderer
from django_pm.api.serializers import CommentSerializer, MembershipSerializer, ProjectSerializer, TaskSerializer
from django_pm.api.views import CommentViewSet, MembershipViewSet, ProjectViewSet, TaskViewSet
from django_pm.events.feed import number_all
from django_pm.models import Comment, Project, Task
from tests.cache.support import uncached
from tests.factories import make_comment, make_project, make_task, make_user

pytestmark = pytest.mark.django_db


def ask(view: Any, user: Any, path: str = "/tasks/", kwargs: Any = None, options: Any = None, **headers: Any) -> Any:
    request = APIRequestFactory().get(path, **headers)
    force_authenticate(request, user=user)
    response = view.as_view({"get": "list"}, **(options or {}))(request, **(kwargs or {}))
    return response.render() if hasattr(response, "render") else response


def ask_plainly(*args: Any, **kwargs: Any) -> Any:
    """As the REST framework has it: instances, its own serializer of lists, its own renderer."""
    with (
        patch.object(ObjectViewSet, "list", ListModelMixin.list),
        patch.object(FastJSONRenderer, "render", JSONRenderer.render),
    ):
        return ask(*args, **kwargs)


CASES: list[type] = []


def case(view: type) -> type:
    CASES.append(view)
    return view


def with_serializer(cls: type) -> type:
    base = next(view for view in VIEWS if issubclass(cls, view.serializer_class))
    CASES.append(type(cls.__name__, (base,), {"serializer_class": cls}))
    return cls


VIEWS = (TaskViewSet, ProjectViewSet, CommentViewSet, MembershipViewSet)


# Serializers


@with_serializer
class AsItIs(TaskSerializer):
    pass


@with_serializer
class MethodField(TaskSerializer):
    shout = serializers.SerializerMethodField()

    class Meta(TaskSerializer.Meta):
        fields = [*TaskSerializer.Meta.fields, "shout"]

    def get_shout(self, task: Task) -> str:
        return task.title.upper()


class Person(serializers.Serializer):
    login = serializers.CharField(source="get_username")


@case
class Nested(TaskViewSet):
    class serializer_class(TaskSerializer):
        assignee = Person()
        comments = CommentSerializer(many=True)

        class Meta(TaskSerializer.Meta):
            fields = [*TaskSerializer.Meta.fields, "comments"]

    def rows(self):
        return super().rows().select_related("assignee").prefetch_related("comments")


@case
class Selected(TaskViewSet):
    def rows(self):
        return super().rows().select_related("assignee", "project").only("title", "project__name", "assignee")


@case
class Prefetched(TaskViewSet):
    def rows(self):
        return super().rows().prefetch_related("comments")


class Loud(StringField):
    def to_representation(self, value):
        return super().to_representation(value).upper()


@with_serializer
class FieldWithItsOwnMind(TaskSerializer):
    title = Loud()


@with_serializer
class Renamed(TaskSerializer):
    name = StringField(source="title")
    title_again = StringField(source="title")
    due = InstantField(source="due_date", allow_null=True)
    key = serializers.IntegerField(source="pk")
    project_name = StringField(source="project.name")
    owner = serializers.PrimaryKeyRelatedField(source="project.created_by", read_only=True)

    class Meta(TaskSerializer.Meta):
        fields = ["name", "title", "title_again", "due", "due_date", "key", "id", "project_name", "owner"]


@with_serializer
class RenamedColumnsAlone(TaskSerializer):
    name = StringField(source="title")
    name_again = StringField(source="title")
    due = InstantField(source="due_date", allow_null=True)

    class Meta(TaskSerializer.Meta):
        fields = ["name", "due", "due_date", "name_again", "id"]


@with_serializer
class Fewer(TaskSerializer):
    class Meta(TaskSerializer.Meta):
        fields = ["title", "id"]


@with_serializer
class OwnRepresentation(TaskSerializer):
    def to_representation(self, instance):
        return {**super().to_representation(instance), "type": "task"}


class Wrapped(serializers.ListSerializer):
    def to_representation(self, data):
        return [{"row": row} for row in super().to_representation(data)]


@with_serializer
class OwnListSerializer(TaskSerializer):
    class Meta(TaskSerializer.Meta):
        list_serializer_class = Wrapped


@with_serializer
class OwnManyInit(TaskSerializer):
    @classmethod
    def many_init(cls, *args, **kwargs):
        return Wrapped(*args, child=cls(), **kwargs)


@with_serializer
class OwnNew(TaskSerializer):
    def __new__(cls, *args, **kwargs):
        made = super().__new__(cls, *args, **kwargs)
        return Wrapped(*args, child=cls()) if kwargs.get("many") else made


@with_serializer
class FieldsByRequest(TaskSerializer):
    def get_fields(self):
        fields = super().get_fields()
        if "brief" in self.context["request"].query_params:
            del fields["description"]
        return fields


@with_serializer
class FewerInLists(TaskSerializer):
    """Common: the whole object alone, less of it among others."""

    def get_fields(self):
        fields = super().get_fields()
        if isinstance(self.parent, serializers.ListSerializer):
            del fields["description"]
        return fields


@with_serializer
class FieldsByArgument(TaskSerializer):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.context.get("request"):
            self.fields.pop("metadata")


@with_serializer
class WithoutNulls(ProjectSerializer):
    def to_representation(self, instance):
        return {name: value for name, value in super().to_representation(instance).items() if value is not None}


@with_serializer
class MemberWithLogin(MembershipSerializer):
    login = serializers.CharField(source="user.get_username", read_only=True)

    class Meta(MembershipSerializer.Meta):
        fields = ["id", "user", "login", "role"]


@with_serializer
class ShortComment(CommentSerializer):
    content = serializers.SerializerMethodField()

    def get_content(self, comment):
        return comment.content[:3]


@with_serializer
class InLocalTime(TaskSerializer):
    created_at = InstantField(read_only=True, format="%d.%m.%Y")
    due_date = serializers.DateTimeField()


# Views


@case
class Average(TaskViewSet):
    """What a serializer makes an integer of, as any value of the database may be."""

    class serializer_class(TaskSerializer):
        average = serializers.IntegerField()
        text = serializers.IntegerField()
        nothing = serializers.IntegerField()

        class Meta(TaskSerializer.Meta):
            fields = ["id", "average", "text", "nothing"]

    def rows(self):
        return self.queryset.annotate(
            average=Avg("comments__pk") + 0.5, text=Value("7"), nothing=Value(None, IntegerField())
        )


@case
class Counted(TaskViewSet):
    class serializer_class(TaskSerializer):
        comments_too = serializers.IntegerField(source="n")

        class Meta(TaskSerializer.Meta):
            fields = ["id", "title", "comments_too"]

    def rows(self):
        return super().rows().annotate(n=Count("comments"))


@case
class MoreAnnotations(TaskViewSet):
    class serializer_class(TaskSerializer):
        of = StringField(source="project_name")

        class Meta(TaskSerializer.Meta):
            fields = [*TaskSerializer.Meta.fields, "of"]

    def rows(self):
        return super().rows().annotate(project_name=F("project__name"))


@case
class Joined(TaskViewSet):
    """Once for each comment, and so it stays."""

    def rows(self):
        return super().rows().annotate(by=F("comments__author")).distinct()


@case
class OwnPagination(TaskViewSet):
    class pagination_class(PageNumberPagination):
        page_size = 2


@case
class PaginationOfOurKind(TaskViewSet):
    class pagination_class(KeysetPagination):
        def envelope(self, data):
            return {"data": data, "next": self._link(forward=True)}


@case
class PaginationWithItsOwnResponse(TaskViewSet):
    class pagination_class(KeysetPagination):
        def get_paginated_response(self, data):
            return Response({"data": data})


@case
class Unpaged(TaskViewSet):
    pagination_class = None


@case
class OwnPaginatedResponse(TaskViewSet):
    def get_paginated_response(self, data):
        response = super().get_paginated_response(data)
        response.data["total"] = len(data)
        return response


@case
class LooksAtThePage(TaskViewSet):
    def paginate_queryset(self, queryset):
        page = super().paginate_queryset(queryset)
        for task in page:
            task.title = f"{task.title}!"
        return page


@case
class OwnList(TaskViewSet):
    def list(self, request, *args, **kwargs):
        response = super().list(request, *args, **kwargs)
        response.data["total"] = 1
        return response


@case
class OwnFinalization(TaskViewSet):
    def finalize_response(self, request, response, *args, **kwargs):
        response.data = {"payload": response.data}
        return super().finalize_response(request, response, *args, **kwargs)


@case
class OwnGetSerializer(TaskViewSet):
    def get_serializer(self, *args, **kwargs):
        if kwargs.get("many"):
            kwargs["context"] = self.get_serializer_context()
            return Fewer(*args, **kwargs)
        return super().get_serializer(*args, **kwargs)


@case
class SerializerByAction(TaskViewSet):
    def get_serializer_class(self):
        return Fewer if self.action == "list" else TaskSerializer


@case
class Indented(TaskViewSet):
    def get_renderer_context(self):
        return {**super().get_renderer_context(), "indent": 2}


@case
class MoreBackends(TaskViewSet):
    filter_backends = [*TaskViewSet.filter_backends, SearchFilter]
    search_fields = ["title"]


@case
class OwnEncoder(TaskViewSet):
    class Renderer(FastJSONRenderer):
        class encoder_class(JSONEncoder):
            def default(self, obj):
                return "later" if hasattr(obj, "isoformat") else super().default(obj)

    renderer_classes = [Renderer]


@case
class Ascii(TaskViewSet):
    class Renderer(FastJSONRenderer):
        ensure_ascii = True

    renderer_classes = [Renderer]


@case
class Spaced(TaskViewSet):
    class Renderer(FastJSONRenderer):
        compact = False

    renderer_classes = [Renderer]


class Lines(BaseRenderer):
    media_type = "text/csv"
    format = "csv"

    def render(self, data, accepted_media_type=None, renderer_context=None):
        return "\n".join(row["title"] for row in data["results"]).encode()


@case
class CommaSeparated(TaskViewSet):
    renderer_classes = [Lines]


@case
class PlainRenderer(TaskViewSet):
    renderer_classes = [JSONRenderer]


def proxies() -> list[type]:
    with isolate_apps("django_pm"):

        class Shouting(Task):
            class Meta:
                proxy = True
                app_label = "django_pm"

            @property
            def title(self):
                return self.__dict__["title"].upper()

            @title.setter
            def title(self, value):
                self.__dict__["title"] = value

        class FromTheDatabase(Task):
            class Meta:
                proxy = True
                app_label = "django_pm"

            @classmethod
            def from_db(cls, *args, **options):
                task = super().from_db(*args, **options)
                task.title = f"{task.title}?"
                return task

        class Initialised(Task):
            class Meta:
                proxy = True
                app_label = "django_pm"

            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                self.description = "initialised"

    return [Shouting, FromTheDatabase, Initialised]


CASES += [type(f"Proxy{cls.__name__}", (TaskViewSet,), {"queryset": cls.objects.all()}) for cls in proxies()]


@pytest.fixture
def people(db):
    owner = make_user("owner")
    project = make_project(owner, name="Möön", description="x", metadata={"a": [1, 2.5, None]})
    task = make_task(project, title="dig", description="deep", assignee=owner, metadata={"b": 1})
    other = make_task(project, title="élan", due_date=None, status="completed")
    for target, author in ((task, "Ann"), (task, "Bea"), (other, "Cid")):
        make_comment(target, owner, author=author, content="Deeper.")
    return owner, project, task


def paths(view: type, project: Project, task: Task) -> tuple[list[str], dict[str, Any]]:
    kwargs: dict[str, Any] = {}
    if issubclass(view, CommentViewSet):
        kwargs = {"task_id": str(task.pk)}
    if issubclass(view, MembershipViewSet):
        kwargs = {"project_id": str(project.pk)}
    return ["/x/", "/x/?count=true&page_size=1", "/x/?brief", "/x/?search=dig"], kwargs


@pytest.mark.parametrize("view", [*VIEWS, *CASES], ids=lambda view: view.__name__)
def test_as_plain_django_rest_framework(view, people):
    owner, project, task = people
    asked, kwargs = paths(view, project, task)
    for path in asked:
        ask(TaskViewSet, owner)  # whatever is remembered of the class must not be of its subclasses
        answer, plain = (how(view, owner, path, kwargs) for how in (ask, ask_plainly))
        assert (answer.status_code, answer.content) == (plain.status_code, plain.content)
        assert answer.headers["Content-Type"] == plain.headers["Content-Type"]
        assert answer.headers.get("Vary") == plain.headers.get("Vary")


@pytest.mark.parametrize("accepted", ["application/json; indent=4", "text/csv", "text/html", "*/*"])
def test_renderers_beside_ours(people, accepted):
    class View(TaskViewSet):
        renderer_classes = [FastJSONRenderer, Lines, BrowsableAPIRenderer]

    owner = people[0]
    answer, plain = (how(View, owner, HTTP_ACCEPT=accepted) for how in (ask, ask_plainly))
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, plain.headers["Content-Type"])
    token = re.compile(rb'csrf\w*"?: ?"[^"]*"|value="\w{64}"', re.IGNORECASE)
    assert token.sub(b"", answer.content) == token.sub(b"", plain.content)


def test_a_handler_of_post_init(people):
    def change(instance, **kwargs):
        instance.description = "handled"

    post_init.connect(change, sender=Task)
    try:
        answer, plain = (how(TaskViewSet, people[0]) for how in (ask, ask_plainly))
    finally:
        post_init.disconnect(change, sender=Task)
    assert b"handled" in answer.content
    assert answer.content == plain.content


def test_settings_of_the_rest_framework(people, monkeypatch):
    for name, value in (("ensure_ascii", True), ("compact", False)):
        with monkeypatch.context() as patched:
            patched.setattr(JSONRenderer, name, value)
            answer, plain = (how(TaskViewSet, people[0]) for how in (ask, ask_plainly))
            assert answer.content == plain.content
    assert answer.content != ask(TaskViewSet, people[0]).content


def test_numbers_of_the_renderer_context():
    data = {"a": [1, {"b": None}]}
    for context in ({"indent": 4}, {"indent": 0}, {}, None):
        assert FastJSONRenderer().render(data, None, context) == JSONRenderer().render(data, None, context)


class TestWhatIsKept:
    """A subclass is kept if it says so itself, under its own name."""

    pytestmark = pytest.mark.django_db(transaction=True)

    def kept(self, view: type, owner: Any, path: str = "/tasks/", **kwargs: Any) -> bool:
        ask(view, owner, path, **kwargs)
        ask(view, owner, path, **kwargs)
        answer = ask(view, owner, path, **kwargs)
        with uncached():
            plain = ask(view, owner, path, **kwargs)
        assert answer.content == plain.content
        return "ETag" in answer.headers

    def test_only_by_its_own_word(self, people):
        class Silent(TaskViewSet):
            pass

        class Willing(TaskViewSet):
            is_cached = True

        class Heir(Willing):
            pass

        owner = people[0]
        assert [self.kept(view, owner) for view in (TaskViewSet, Silent, Willing, Heir)] == [True, False, True, False]

    @pytest.mark.parametrize(
        "options",
        [
            {"serializer_class": MethodField},
            {"queryset": Task.objects.filter(project__name__startswith="M")},
            {"filterset_class": None},
            {"default_ordering": "title"},
        ],
    )
    def test_options_of_a_url_are_as_a_subclass(self, people, options):
        """`TaskViewSet.as_view(…, serializer_class=Mine)` may show what no event tells of."""
        assert not self.kept(TaskViewSet, people[0], options=options)

    def test_its_representation_is_its_own(self, people):
        class Willing(TaskViewSet):
            is_cached = True
            serializer_class = Fewer

        owner = people[0]
        assert ask(TaskViewSet, owner).content != ask(Willing, owner).content
        before = ask(Willing, owner).headers["ETag"]
        Willing.cache_version = 2
        assert ask(Willing, owner).headers["ETag"] != before

    def test_parameters(self, people):
        class Filters(TaskFilterSet):
            titled = django_filters.CharFilter(field_name="title")
            late = django_filters.CharFilter(field_name="title")

        class Willing(TaskViewSet):
            is_cached = True
            filterset_class = Filters
            relative_parameters = TaskViewSet.relative_parameters | {"late"}

        owner = people[0]
        kept = {
            query: self.kept(Willing, owner, f"/tasks/?{query}")
            for query in ("titled=dig", "late=x", "overdue=true", "colour=red", "titled=dig&colour=red", "page_size=1")
        }
        assert [query for query, is_kept in kept.items() if is_kept] == ["titled=dig", "page_size=1"]
        assert not self.kept(TaskViewSet, owner, "/tasks/?titled=dig")

    def test_what_developers_are_told(self, people, settings):
        settings.DEBUG = True
        owner = people[0]
        number_all()
        found = [ask(TaskViewSet, owner, path).headers["X-Cache"] for path in ("/t/", "/t/", "/t/?colour=red")]
        assert found == ["made", "local", "bypass"]
        tag = ask(TaskViewSet, owner, "/t/").headers["ETag"]
        assert ask(TaskViewSet, owner, "/t/", HTTP_IF_NONE_MATCH=tag).headers["X-Cache"] == "unchanged"
        settings.DEBUG = False
        assert "X-Cache" not in ask(TaskViewSet, owner, "/t/").headers

    @pytest.mark.parametrize("how", ["filter", "backend", "method"])
    def test_a_filter_by_project_of_a_host(self, people, how):
        """What we take for one project may be several to a host's own filter of that name, or nothing."""

        class Filters(TaskFilterSet):
            project = django_filters.ModelMultipleChoiceFilter(queryset=Project.objects.all())

        class Several(TaskViewSet):
            is_cached = True
            filterset_class = Filters

        class Deaf(TaskViewSet):
            is_cached = True
            filter_backends = [SearchFilter]

        class Unfiltered(TaskViewSet):
            is_cached = True

            def filter_queryset(self, queryset):
                return queryset

        view = {"filter": Several, "backend": Deaf, "method": Unfiltered}[how]
        owner, project, _task = people
        other = make_project(owner)
        make_task(other)
        path = f"/tasks/?project={project.pk}&project={other.pk}"
        assert self.kept(view, owner, path) is (view is not Deaf)
        rows = json.loads(ask(view, owner, path).content)["results"]
        assert {row["project"] for row in rows} == {project.pk, other.pk}
        Task.objects.filter(project=project).update(title="elsewhere")
        assert b"elsewhere" in ask(view, owner, path).content

    def test_every_way_to_represent_is_kept_as_it_is(self, people):
        """With `is_cached`, whatever else a class does: kept or not, the answer is the same."""
        owner, project, task = people
        for view in CASES:
            willing = type(view.__name__, (view,), {"is_cached": True})
            asked, kwargs = paths(view, project, task)
            if not issubclass(view, (OwnList, OwnFinalization)):
                for path in asked[:2]:
                    self.kept(willing, owner, path, kwargs=kwargs)
                    assert (
                        ask(willing, owner, path, kwargs).content == ask_plainly(willing, owner, path, kwargs).content
                    )

    def test_a_link_is_as_it_was_asked_for(self, people):
        """A query in raw UTF-8 means the same as one that is escaped, but comes back in links as something else."""
        client = APIClient()
        client.force_authenticate(people[0])
        make_task(people[1], title="élan vital")
        queries = ["search=é&page_size=1", "search=%C3%A9&page_size=1", "page_size=1&search=%C3%A9"]
        for query in queries + queries[::-1]:
            with uncached():
                plain = client.get(f"/tasks/?{query}")
            assert client.get(f"/tasks/?{query}").content == plain.content
            Comment.objects.first().save()


def test_models_are_all_asked():
    assert {view.queryset.model for view in VIEWS} == {Task, Project, Comment, Project.memberships.rel.related_model}
