"""The permission walk: everybody asks every URL by every method, naming what is theirs, hidden or missing.

What is hidden is answered as what does not exist: the same status, headers and body, but for an id that the client has
sent itself, and the same statements to the database (see `Answer`). Lists hold what the superuser's hold, less what
the reader may not see. `World.ask` checks of each answer that it tells nothing of a hidden place, that a refusal
leaves all as it was, and that nobody changes what they do not see.
"""

import base64
import itertools
import json
from urllib.parse import parse_qs, urlsplit

import pytest
from rest_framework.fields import Field
from rest_framework.relations import ManyRelatedField, RelatedField

from django_pm.api.fields import UserField
from django_pm.api.urls import urlpatterns
from django_pm.models import Project, ProjectStream, Role
from tests.api.support import new_task, shown
from tests.api.walk import (
    ACTORS,
    CELLS,
    ELSEWHERE,
    FIELDS,
    HERE,
    HIDDEN,
    KEY,
    LINKS,
    LIVE,
    METHODS,
    MISSING,
    OPEN,
    ORDERINGS,
    PLACES,
    QUERIES,
    READ_ONLY,
    SAFE,
    SLOTS,
    SUPERUSER,
    VALUE,
    expected_status,
)
from tests.api.world import MISSING_KEY, World, signed_in, stored
from tests.factories import make_user

# One of those who see the same; what all the others are compared with is the superuser's.
READERS = list({(actor.is_token, *actor.roles): actor for actor in LIVE if actor is not SUPERUSER}.values())
KIND_OF_ROWS = {
    "project-list": "project",
    "task-list": "task",
    "member-list": "member",
    "comment-list": "comment",
    "report-list": "report",
    "rule-list": "rule",
}
ALL_ON_ONE_PAGE = {"page_size": 200}


@pytest.fixture
def world(db, caplog):
    caplog.set_level("ERROR", logger="django.request")  # thousands of refusals are meant here; to note them takes long
    return World()


class TestNothingIsUndeclared:
    """A URL, method, field, parameter or ordering that `walk.py` does not know would go unwalked."""

    def views(self):
        return {pattern.name: getattr(pattern.callback, "cls", None) for pattern in urlpatterns}

    def test_urls_and_what_their_parameters_name(self):
        found = {getattr(at, "name", str(at.pattern)): set(at.pattern.converters) for at in urlpatterns}
        assert found == {name: set(slots) for name, slots in SLOTS.items()}
        assert len(found) == len(urlpatterns)

    def test_methods(self):
        for pattern in urlpatterns:
            if pattern.name not in {*OPEN, *LINKS}:
                view = pattern.callback.cls
                offered = getattr(pattern.callback, "actions", None) or [m for m in METHODS if hasattr(view, m.lower())]
                declared = {method for name, method in CELLS if name == pattern.name}
                assert {method.upper() for method in offered} - {"HEAD", "OPTIONS"} == declared, pattern.name

    def test_fields(self):
        serializers = {view.serializer_class for view in self.views().values() if hasattr(view, "serializer_class")}
        assert {serializer for serializer in serializers if serializer} == set(FIELDS)
        for serializer, declared in FIELDS.items():
            assert {name: kind_of(field) for name, field in serializer().get_fields().items()} == declared

    def test_parameters(self, anonymous):
        document = anonymous.get("/schema/").json()["paths"]
        found = {}
        for pattern in urlpatterns:
            path = "/" + str(pattern.pattern).replace("<str:", "{").replace(">", "}")
            parameters = document.get(path, {}).get("get", {}).get("parameters", [])
            names = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
            lists = "list" in getattr(pattern.callback, "actions", {}).values()
            filters = getattr(pattern.callback.cls, "filterset_class", None) if lists else None
            if names := names | set(filters.base_filters if filters else ()):
                found[pattern.name] = names
        assert found == {name: set(parameters) for name, parameters in QUERIES.items()}

    def test_filter_backends(self):
        backends = {
            name: [backend.__name__ for backend in view.filter_backends] if view.filterset_class else []
            for name, view in self.views().items()
            if hasattr(view, "filterset_class")
        }
        assert {name for name, used in backends.items() if used} >= {"project-list", "task-list"}
        assert all(used in ([], ["DeclaredFilters"]) for used in backends.values())

    def test_orderings(self):
        views = self.views()
        assert ORDERINGS.keys() == {name for name in QUERIES if "ordering" in QUERIES[name]}
        for name, declared in ORDERINGS.items():
            assert set(views[name].ordering_fields) == declared, name


def kind_of(field: Field) -> str:
    """What a field of a serializer can be given: nothing, a value, or the key of something else."""
    if field.read_only:
        return READ_ONLY
    return KEY if isinstance(field, RelatedField | ManyRelatedField | UserField) else VALUE


# Ids in paths


def combinations(actor, name, method):
    """The places that the parameters of a path may name things in, what is nowhere first."""
    # To whoever has no role elsewhere, nor a token of somebody who has one, that is but one more hidden place.
    places = PLACES if actor.roles.get(ELSEWHERE) or actor.is_token else (HERE, HIDDEN)
    every = itertools.product((MISSING, *places), repeat=len(SLOTS[name]))
    is_offered = method in SAFE or (name, method) in CELLS
    return [at for at in every if len({*at}) <= 1 or (is_offered and (at[0] == HERE or at[-1] in (HERE, MISSING)))]


def role_at(actor, name, places):
    """The actor's role where the path leads, None if it leads nowhere, or to what the actor does not see."""
    if not places:
        return actor.role(HERE)
    [place, *others] = set(places)
    return None if others else actor.role(place, list(SLOTS[name].values())[-1])


def nowhere_like(actor, places):
    """The same path with what the actor cannot find replaced by what does not exist."""
    parents = [place if place in actor.roles else MISSING for place in places[:-1]]
    return (*parents, MISSING)


@pytest.mark.parametrize("name", [name for name in SLOTS if name not in {*OPEN, *LINKS}])
def test_paths(world, name):
    for actor, method in itertools.product(ACTORS, METHODS):
        answers = {}
        for places in combinations(actor, name, method):
            role = role_at(actor, name, places)
            data = b"" if method in SAFE else world.body(name, places[0] if places and role else HERE)
            answer = answers[places] = world.ask(actor, method, world.path(actor, name, *places), data)
            about = (str(actor), method, name, places, answer)
            assert answer.status == expected_status(actor, name, method, role), about
            if places and role is None:
                assert answer == answers[nowhere_like(actor, places)], about


@pytest.mark.parametrize("name", OPEN)
def test_what_is_open_is_the_same_for_everybody(world, name):
    # The OpenAPI document takes long to make, and is made without a look at who asks; of the others nobody is spared.
    actors = [SUPERUSER, *LIVE[:1], *ACTORS[:1]] if name == "schema" else ACTORS
    for method in METHODS:
        data = b"" if method in SAFE else {}
        for places in [(HERE,), (MISSING,)] if SLOTS[name] else [()]:
            answers = [world.ask(actor, method, world.path(actor, name, *places), data) for actor in actors]
            status = expected_status(actors[0], name, method, None)
            assert {answer.status for answer in answers} == {404 if MISSING in places and status == 200 else status}
            assert len({answer.content for answer in answers}) == 1
            assert all(answer.statements == [] for answer in answers)


CONDITIONS = ["If-None-Match: {tag}", "If-Match: {tag}", 'If-Match: "other"']


@pytest.mark.parametrize("name", [name for name in SLOTS if (name, "DELETE") in CELLS and not name.endswith("-watch")])
def test_conditions_on_what_is_hidden(world, name):
    """A tag that fits, or not, is looked at only once the object has been found."""
    there, nowhere = ([place] * len(SLOTS[name]) for place in (HIDDEN, MISSING))
    tag = tag_of_hidden(world, name)
    methods = [method for method in METHODS if (name, method) in CELLS]
    for actor, method in itertools.product([actor for actor in LIVE if HIDDEN not in actor.roles], methods):
        data = b"" if method in SAFE else world.body(name)
        plain = world.ask(actor, method, world.path(actor, name, *nowhere), data)
        for condition in CONDITIONS:
            header, _colon, value = condition.format(tag=tag).partition(": ")
            answer = world.ask(actor, method, world.path(actor, name, *there), data, **{header: value})
            assert answer == plain, (str(actor), method, name, condition)


def tag_of_hidden(world, name):
    """The tag that an object of the hidden place has for somebody who sees it."""
    reader = signed_in(world.people["hermit"])
    return reader.get(world.path(SUPERUSER, name, *[HIDDEN] * len(SLOTS[name]))).headers["ETag"]


# Ids in bodies


def least(*roles):
    """The role that limits what may be done in several places at once; None if one of them is hidden."""
    return None if None in roles else min(roles, key=lambda role: Role(role).rank)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_the_project_of_a_task(world, method):
    for actor, source in itertools.product(ACTORS, PLACES):
        name, path = ("task-list", "/tasks/") if method == "POST" else ("task-detail", None)
        path = path or world.path(actor, name, source)
        nowhere = world.ask(actor, method, path, new_task(world.projects[HERE]) | {"project": MISSING_KEY})
        for place in PLACES:
            project = world.projects[place].pk
            answer = world.ask(actor, method, path, new_task(world.projects[place]))
            here, there = actor.role(source), actor.role(place)
            about = (str(actor), method, source, place, answer)
            if method == "POST":
                assert answer.status == expected_status(actor, name, method, there), about
            elif expected_status(actor, name, method, here) >= 400 or there:
                role = least(here, there) if here and there else here
                assert answer.status == expected_status(actor, name, method, role), about
            else:
                assert answer.status == 400, about
            if there is None:
                assert answer.without(project) == nowhere.without(MISSING_KEY), about


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_the_assignee_of_a_task(world, method):
    """Somebody who does not see the project, who may not sign in, and who does not exist are one and the same."""
    unknown = make_user()
    missing_key = shown(unknown)
    unknown.delete()
    for actor in ACTORS:
        path = "/tasks/" if method == "POST" else world.path(actor, "task-detail", HERE)
        project = world.projects[HERE]
        nowhere = world.ask(actor, method, path, new_task(project, assignee=missing_key))
        assert nowhere.status >= 400
        for name in ("outsider", "neighbour", "hermit", "removed", "deactivated", "newcomer"):
            key = shown(world.people[name])
            answer = world.ask(actor, method, path, new_task(project, assignee=key))
            assert answer.without(key, project.pk) == nowhere.without(missing_key, project.pk), (str(actor), name)


def test_the_user_of_a_member(world):
    """Whoever may add members may ask who has an account; the deactivated have none, and others may not ask."""
    unknown = make_user()
    missing_key = shown(unknown)
    unknown.delete()
    for actor, place in itertools.product(ACTORS, PLACES):
        path = world.path(actor, "member-list", place)
        nowhere = world.ask(actor, "POST", path, {"user": missing_key, "role": "viewer"})
        may_add = expected_status(actor, "member-list", "POST", actor.role(place)) == 201
        for name in ("deactivated", "newcomer"):
            key = shown(world.people[name])
            answer = world.ask(actor, "POST", path, {"user": key, "role": "viewer"})
            if may_add and name == "newcomer":
                assert answer.status == 201
            else:
                assert answer.status >= 400
                assert answer.without(key) == nowhere.without(missing_key), (str(actor), place, name)


def test_the_projects_of_a_token(world):
    for actor in ACTORS:
        nowhere = world.ask(actor, "POST", "/tokens/", {"name": "n", "projects": [MISSING_KEY]})
        assert nowhere.status == (actor.refused or (403 if actor.is_token else 400))
        for place in PLACES:
            key = world.projects[place].pk
            answer = world.ask(actor, "POST", "/tokens/", {"name": "n", "projects": [key]})
            if actor.role(place) and not actor.is_token:
                assert (answer.status, json.loads(answer.content)["projects"]) == (201, [key])
            else:
                assert answer.without(key) == nowhere.without(MISSING_KEY), (str(actor), place)


# Lists


def queries(world, name):
    """Each parameter of a list with each of its values, and none at all."""
    names = {"missing": MISSING_KEY, **{who: shown(user) for who, user in world.people.items()}}
    yield {}
    for parameter, values in QUERIES[name].items():
        if parameter == "ordering":
            values = [sign + column for column in sorted(ORDERINGS[name]) for sign in ("", "-")]
        yield from ({parameter: value.format(**names)} for value in (() if values is ... else values))


def rows_for(world, actor, kind, answer):
    """What is left for the actor of the superuser's list."""
    rows = json.loads(answer.content)["results"]
    return [row for row in rows if world.place_of[kind, row["id"]] in actor.roles]


@pytest.mark.parametrize("name", ["project-list", "task-list"])
def test_lists_hold_what_one_sees(world, name):
    for query in queries(world, name):
        path = world.path(SUPERUSER, name, **{**ALL_ON_ONE_PAGE, "count": "true", **query})
        whole = world.path(SUPERUSER, name, **{**query, **ALL_ON_ONE_PAGE})
        everything = world.ask(SUPERUSER, "GET", whole)
        assert everything.status == 200
        for actor in READERS if query else LIVE:
            answer = world.ask(actor, "GET", path)
            page, expected = json.loads(answer.content), rows_for(world, actor, KIND_OF_ROWS[name], everything)
            size = min(int(query.get("page_size", 200)), 200)
            assert page["results"] == expected[:size], (str(actor), path)
            assert page["count"] == len(expected), (str(actor), path)
            assert (page["next"] is None) == (len(expected) <= size), (str(actor), path)


@pytest.mark.parametrize("name", ["member-list", "comment-list", "report-list", "rule-list", "event-feed"])
def test_lists_of_a_place(world, name):
    missing = {}
    for query, place in itertools.product(queries(world, name), PLACES):
        everything = world.ask(SUPERUSER, "GET", world.path(SUPERUSER, name, place, **query))
        for actor in READERS:
            answer = world.ask(actor, "GET", world.path(actor, name, place, **query))
            if actor.role(place):
                assert (answer.status, answer.content) == (everything.status, everything.content), (str(actor), query)
            else:
                nowhere = missing.get(str(actor)) or world.ask(actor, "GET", world.path(actor, name, MISSING))
                missing[str(actor)] = nowhere
                assert nowhere.status == 404
                assert answer == nowhere, (str(actor), query)


def test_the_project_that_tasks_are_filtered_by(world):
    for actor in ACTORS:
        nowhere = world.ask(actor, "GET", f"/tasks/?project={MISSING_KEY}&count=true")
        assert nowhere.status == (actor.refused or 400)
        for place in PLACES:
            key = world.projects[place].pk
            answer = world.ask(actor, "GET", f"/tasks/?project={key}&count=true")
            if actor.role(place):
                assert answer.status == 200
                assert {row["project"] for row in json.loads(answer.content)["results"]} == {key}
            else:
                assert answer.without(key) == nowhere.without(MISSING_KEY), (str(actor), place)


def cursors_of(world, actor, path):
    """The cursors of all pages of a list, in both directions."""
    following = path
    while following:
        page = json.loads(world.ask(actor, "GET", following).content)
        for link in filter(None, (page["next"], page["previous"])):
            yield parse_qs(urlsplit(link).query)["cursor"][0]
        following = page["next"]


def position_of(link):
    [cursor] = parse_qs(urlsplit(link).query)["cursor"]
    return int(json.loads(base64.urlsafe_b64decode(cursor))[-1])


@pytest.mark.parametrize("name", ["project-list", "task-list"])
def test_cursors_of_somebody_who_sees_more(world, name):
    size = {"project-list": 1, "task-list": 5}[name]
    kind = KIND_OF_ROWS[name]
    for column, sign in itertools.product(sorted(ORDERINGS[name]), ("", "-")):
        ordering = sign + column
        for cursor in cursors_of(world, SUPERUSER, world.path(SUPERUSER, name, ordering=ordering, page_size=size)):
            path = world.path(SUPERUSER, name, ordering=ordering, cursor=cursor, **ALL_ON_ONE_PAGE)
            everything = world.ask(SUPERUSER, "GET", path)
            for actor in READERS:
                page = json.loads(world.ask(actor, "GET", path).content)
                assert page["results"] == rows_for(world, actor, kind, everything), (str(actor), path)
                for link in filter(None, (page["next"], page["previous"])):
                    is_own = world.place_of[kind, position_of(link)] in actor.roles
                    assert is_own or position_of(link) == position_of(path), (str(actor), link)


@pytest.mark.parametrize("name", ["member-list", "comment-list", "report-list"])
def test_cursors_of_another_place(world, name):
    """A position among the rows of a hidden parent shows none of them."""
    for place in (ELSEWHERE, HIDDEN):
        for cursor in cursors_of(world, SUPERUSER, world.path(SUPERUSER, name, place, page_size=1)):
            for actor in [actor for actor in LIVE if actor.role(HERE)]:
                path = world.path(actor, name, HERE, cursor=cursor)
                rows = json.loads(world.ask(actor, "GET", path).content)["results"]
                assert all(world.place_of[KIND_OF_ROWS[name], row["id"]] == HERE for row in rows), (str(actor), path)


def test_tokens_are_ones_own(world):
    hermits = [token.pk for token in world.hermits_tokens.values()]
    forged = json.dumps(["created_at", True, True, "2000-01-01T00:00:00Z", "1"]).encode()
    for actor, query in itertools.product(LIVE, [*queries(world, "token-list"), {"cursor": forged}]):
        if "cursor" in query:
            query = {"ordering": "created_at", "cursor": base64.urlsafe_b64encode(query["cursor"])}
        answer = world.ask(actor, "GET", world.path(actor, "token-list", **{"count": "true", **query}))
        if actor.is_token:
            assert answer.status == 403
            continue
        page = json.loads(answer.content)
        own = set(world.user(actor).pm_api_tokens.values_list("pk", flat=True))
        assert {row["id"] for row in page["results"]} <= own - set(hermits), (str(actor), query)
        assert page["count"] == len(own)


def test_a_token_tells_of_no_project_that_its_user_has_left(world):
    token = next(token for token in world.people["removed"].pm_api_tokens.all() if not token.every_project)
    removed = next(actor for actor in LIVE if actor.name == "removed")
    assert json.loads(world.ask(removed, "GET", f"/tokens/{token.pk}/").content)["projects"] == []


def test_notifications_are_ones_own_and_of_what_one_sees(world):
    for actor, query in itertools.product(LIVE, [*queries(world, "notification-list"), {"unread": "true"}]):
        if "cursor" in query:
            continue
        answer = world.ask(actor, "GET", world.path(actor, "notification-list", **{"count": "true", **query}))
        page = json.loads(answer.content)
        mine = [world.notifications[world.user(actor).pk, place].pk for place in PLACES if place in actor.roles]
        assert {row["id"] for row in page["results"]} <= set(mine), (str(actor), query)
        assert page["unread"] == len(mine), (str(actor), query)
        if query.get("unread") != "false":
            assert page["count"] == len(mine), (str(actor), query)


def test_notifications_of_what_is_hidden_cannot_be_asked_for(world):
    for actor in LIVE:
        nowhere = world.ask(actor, "GET", world.path(actor, "notification-list", project=MISSING_KEY))
        assert nowhere.status == 400
        for place in [place for place in PLACES if place not in actor.roles]:
            key = world.projects[place].pk
            answer = world.ask(actor, "GET", world.path(actor, "notification-list", project=key))
            assert answer.without(key) == nowhere.without(MISSING_KEY), (str(actor), place)


# The event feed


def test_events_of_one_object(world):
    """Whose object it is, is asked of the project in the path alone; an object from elsewhere has no event there."""
    kinds = ("project", "task", "comment", "member", "report")
    for actor, place, kind in itertools.product([SUPERUSER, *READERS], PLACES, kinds):
        if not actor.role(place):
            continue  # a hidden feed is walked in `test_lists_of_a_place`
        nowhere = world.ask(actor, "GET", world.path(actor, "event-feed", place, object=f"{kind}:{MISSING_KEY}"))
        assert nowhere.status == 200
        for other in PLACES:
            key = world.objects[kind][other].pk
            answer = world.ask(actor, "GET", world.path(actor, "event-feed", place, object=f"{kind}:{key}"))
            if other == place:
                events = json.loads(answer.content)["results"]
                assert events
                assert {event["object"]["id"] for event in events} == {key}
                assert {event["project"] for event in events} == {world.projects[place].pk}
            else:
                assert answer == nowhere, (str(actor), place, kind, other)


def test_the_epoch_of_a_hidden_stream(world):
    epoch = ProjectStream.objects.get(pk=world.projects[HIDDEN].pk).epoch
    for actor in LIVE:
        if HIDDEN not in actor.roles:
            there, nowhere = (
                world.ask(actor, "GET", world.path(actor, "event-feed", HERE, epoch=e)) for e in (epoch, "x")
            )
            assert there == nowhere
            assert there.status == (410 if actor.role(HERE) else 404)


# Idempotency keys

COMMENT = {"content": "Deeper."}


def test_a_key_that_somebody_else_has_used(world):
    """It is theirs: whoever else uses it makes something new, or is refused as without it."""
    people = {actor.name: actor for actor in ACTORS}
    path, data = "/tasks/", new_task(world.projects[HERE])
    made = world.clients["owner"].post(path, data, "json", headers={"Idempotency-Key": "k"})
    assert made.status_code == 201
    forget_what_was_before(world)
    for actor in [actor for actor in LIVE if world.user(actor) != world.people["owner"]]:
        plain = world.ask(actor, "POST", path, data)
        answer = world.ask(actor, "POST", path, data, **{"Idempotency-Key": "k"})
        assert "Idempotent-Replayed" not in answer.headers
        assert answer.status == plain.status, str(actor)
        if answer.status == 201:
            assert json.loads(answer.content)["id"] != made.json()["id"]
        else:
            assert answer.content == plain.content
    # A token acts for its user, and still repeats nothing that it does not see itself.
    replayed = world.ask(people["token for here"], "POST", path, data, **{"Idempotency-Key": "k"})
    assert (replayed.status, replayed.headers["Idempotent-Replayed"]) == (201, "true")
    hidden = world.ask(people["token for elsewhere"], "POST", path, data, **{"Idempotency-Key": "k"})
    assert hidden.status == 404
    assert world.ask(people["reading token"], "POST", path, data, **{"Idempotency-Key": "k"}).status == 403


def test_a_key_on_what_is_hidden(world):
    for actor, name in itertools.product(LIVE, ("member-list", "comment-list")):
        data = world.body(name)
        nowhere = world.ask(actor, "POST", world.path(actor, name, MISSING), data, **{"Idempotency-Key": "k"})
        for place in [place for place in PLACES if not actor.role(place)]:
            answer = world.ask(actor, "POST", world.path(actor, name, place), data, **{"Idempotency-Key": "k"})
            assert answer == nowhere, (str(actor), name, place)


@pytest.mark.parametrize("name", ["project-list", "task-list", "member-list", "comment-list"])
def test_a_repeat_after_losing_access(world, name):
    """It is answered as one of something that has been deleted since: 404, and nothing of the object."""
    places = [HERE] * len(SLOTS[name])
    owner = next(actor for actor in ACTORS if actor.name == "owner")
    path, data, key = world.path(owner, name, *places), world.body(name), {"Idempotency-Key": "k"}
    made = world.clients["owner"].post(path, data, "json", headers=key)
    assert made.status_code == 201
    project = world.projects[HERE].pk if name != "project-list" else made.json()["id"]
    forget_what_was_before(world)
    assert world.ask(owner, "POST", path, data, **key).headers["Idempotent-Replayed"] == "true"
    world.people["owner"].pm_memberships.filter(project=project).delete()
    forget_what_was_before(world)
    hidden = world.ask(owner, "POST", path, data, **key)
    assert hidden.status == 404
    assert hidden.content == world.ask(owner, "GET", f"/projects/{MISSING_KEY}/").content
    Project.objects.get(pk=project).delete()
    forget_what_was_before(world)
    assert world.ask(owner, "POST", path, data, **key) == hidden


def forget_what_was_before(world):
    """What the test itself has changed is what a refusal must leave as it is."""
    world.before = stored()
