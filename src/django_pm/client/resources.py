"""Projects, tasks, comments, members and tokens: every method once, as steps, for both clients.

An object passed to a method means "as I saw it": the write is refused with ``Changed`` if somebody changed it since.
A key means "whatever it is now".
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any, Required, TypeAlias, TypedDict, TypeVar, Unpack
from urllib.parse import urlsplit

import httpx

from django_pm.client.errors import Changed, ConnectionFailed, UnexpectedAnswer
from django_pm.client.objects import (
    ApiObject,
    Comment,
    Editable,
    Key,
    Member,
    Priority,
    Project,
    Role,
    Scope,
    Status,
    Task,
    Token,
    instant,
)
from django_pm.client.steps import (
    ETAG,
    KEY_HEADER,
    Give,
    Outcome,
    Pause,
    Request,
    Steps,
    Stream,
    content,
    error_of,
    exchange,
    get,
    key_of,
    path_of,
    query,
    read,
    require,
    send,
)
from django_pm.client.verbs import AsyncResource, Resource, SyncResource, listing, verb
from django_pm.client.watching import WatchVerbs

E = TypeVar("E", bound=Editable)
O = TypeVar("O", bound=ApiObject)  # noqa: E741 -- an object

PAGE_SIZE = 200
"""Rows per request: the most that the API gives at once."""

EDIT_ATTEMPTS = 10

Params: TypeAlias = tuple[tuple[str, str], ...]


class ProjectChanges(TypedDict, total=False):
    """What can be written of a project."""

    name: str
    description: str
    time_zone: str
    metadata: Mapping[str, Any]


class NewProject(ProjectChanges):
    name: Required[str]  # type: ignore[misc]


class TaskChanges(TypedDict, total=False):
    """What can be written of a task."""

    project: Project | Key
    title: str
    description: str
    status: Status
    priority: Priority
    due_date: dt.datetime | None
    assignee: Key | None
    metadata: Mapping[str, Any]


class NewTask(TypedDict, total=False):
    """What a task is made of; the site may insist on a ``due_date``."""

    project: Required[Project | Key]
    title: Required[str]
    description: str
    status: Status
    priority: Priority
    due_date: dt.datetime | None
    assignee: Key | None
    metadata: Mapping[str, Any]


class CommentChanges(TypedDict, total=False):
    """What can be written of a comment."""

    content: str
    author: str


class TaskFilters(TypedDict, total=False):
    """Which tasks: those to which all of this applies."""

    project: Project | Key
    status: Status | Collection[Status]
    priority: Priority | Collection[Priority]
    assignee: Key
    due_before: dt.datetime
    due_after: dt.datetime
    overdue: bool
    search: str


class ObjectSteps(Resource):
    """What the verbs have in common."""

    def _fetched(self, kind: type[E], path: str, **told: Any) -> Steps[E]:
        request = get(path)
        outcome = yield from exchange(request, self._retry)
        require(request, outcome, 200)
        return object_of(kind, request, outcome, **told)

    def _made(self, kind: type[E], path: str, values: Any, key: str | None, **told: Any) -> Steps[E]:
        """A new object. With the same key, however often it is sent, it is made once."""
        request = send("POST", path, values, {KEY_HEADER: key or new_key()})
        outcome = yield from exchange(request, self._retry)
        require(request, outcome, 201)
        return object_of(kind, request, outcome, **told)

    def _changed(self, kind: type[E], path: str, seen: E | None, values: Mapping[str, Any], **told: Any) -> Steps[E]:
        tag = (yield from self._tag(kind, path, seen, **told)) if seen is not None else None
        request = send("PATCH", path, values, {"If-Match": tag} if tag else {})
        outcome = yield from exchange(request, self._retry)
        if outcome.status == 412 and outcome.in_doubt:
            # Changed by somebody else, or by our own attempt whose answer was lost? What was wanted is there or not.
            now = yield from self._fetched(kind, path, **told)
            if holds(now, values):
                return now
            raise error_of(request, outcome)
        require(request, outcome, 200)
        return object_of(kind, request, outcome, **told)

    def _removed(self, kind: type[E], path: str, seen: E | None, **told: Any) -> Steps[None]:
        tag = (yield from self._tag(kind, path, seen, **told)) if seen is not None else None
        request = send("DELETE", path, headers={"If-Match": tag} if tag else {})
        outcome = yield from exchange(request, self._retry)
        if outcome.status == 404 and outcome.in_doubt:  # the attempt whose answer was lost has done it
            return
        require(request, outcome, 204)

    def _edited(self, kind: type[E], path: str, change: Callable[[E], Any], **told: Any) -> Steps[E]:
        """Read, let ``change`` say what to write, write it if nobody has been quicker; else again."""
        attempt = 0
        while True:
            seen = yield from self._fetched(kind, path, **told)
            values = change(seen)
            if not values:
                return seen
            try:
                return (yield from self._changed(kind, path, seen, values, **told))
            except Changed as error:
                attempt += 1
                if error.perhaps_written or attempt == EDIT_ATTEMPTS:
                    raise
            yield Pause(self._retry.jitter(attempt))

    def _tag(self, kind: type[E], path: str, seen: E, **told: Any) -> Steps[str]:
        """The tag of the object as it was seen. One from a list has none: it is read again, and compared."""
        if seen.etag is not None:
            return seen.etag
        now = yield from self._fetched(kind, path, **told)
        if not now.same_row(seen):
            told_by_us = "This has changed since it was listed. Read it again and retry."
            raise Changed("GET", f"/{path}", 412, told_by_us)
        if now.etag is None:
            raise UnexpectedAnswer(
                "GET", f"/{path}", 200, "The answer has no ETag: what was seen cannot be told apart."
            )
        return now.etag

    def _listed(self, kind: type[O], path: str, params: Params, page_size: int | None, **told: Any) -> Stream[O]:
        """All rows, page after page, each asked for when the one before has been used up."""
        params = (*params, *query(page_size=page_size or PAGE_SIZE))
        request = get(path, params)
        while True:
            outcome = yield from exchange(request, self._retry)
            require(request, outcome, 200)
            page = content(request, outcome.response)
            yield Give([read(kind, request, row, **told) for row in page.get("results", ())])
            cursor = cursor_of(page.get("next"))
            if cursor is None:
                return
            request = get(path, (*params, ("cursor", cursor)))

    def _counted(self, path: str, params: Params) -> Steps[int]:
        request = get(path, (*params, *query(page_size=1, count=True)))
        outcome = yield from exchange(request, self._retry)
        require(request, outcome, 200)
        return int(content(request, outcome.response)["count"])


class ProjectVerbs(ObjectSteps, WatchVerbs[Project]):
    """``client.projects``."""

    _kind = "projects"

    @listing
    def list(
        self, *, search: str | None = None, ordering: str | None = None, page_size: int | None = None
    ) -> Stream[Project]:
        """The projects that one may see. ``ordering``: created_at, updated_at or name; ``-`` in front descends."""
        return self._listed(Project, path_of("projects"), query(search=search, ordering=ordering), page_size)

    @verb
    def count(self, *, search: str | None = None) -> Steps[int]:
        """How many ``list`` would give."""
        return self._counted(path_of("projects"), query(search=search))

    @verb
    def get(self, project: Project | Key) -> Steps[Project]:
        """The project as it is now."""
        return self._fetched(Project, path_of("projects", key_of(project)))

    @verb
    def create(self, *, idempotency_key: str | None = None, **values: Unpack[NewProject]) -> Steps[Project]:
        """A new project, which one owns."""
        return self._made(Project, path_of("projects"), values, idempotency_key)

    @verb
    def update(self, project: Project | Key, **values: Unpack[ProjectChanges]) -> Steps[Project]:
        """Change these fields. Raises ``Changed`` if the project is not what was seen."""
        return self._changed(Project, path_of("projects", key_of(project)), seen(project), values)

    @verb
    def edit(self, project: Project | Key, change: Callable[[Project], ProjectChanges | None]) -> Steps[Project]:
        """Change what ``change`` makes of the project as it is, again if somebody else was quicker."""
        return self._edited(Project, path_of("projects", key_of(project)), change)

    @verb
    def delete(self, project: Project | Key) -> Steps[None]:
        """Delete it with all that is in it. Raises ``Changed`` if it is not what was seen."""
        return self._removed(Project, path_of("projects", key_of(project)), seen(project))


class TaskVerbs(ObjectSteps, WatchVerbs[Task]):
    """``client.tasks``."""

    _kind = "tasks"

    @listing
    def list(
        self, *, ordering: str | None = None, page_size: int | None = None, **filters: Unpack[TaskFilters]
    ) -> Stream[Task]:
        """The tasks that one may see. ``ordering``: created_at, updated_at, due_date, priority or title; ``-`` in
        front descends. ``status`` and ``priority`` may be several."""
        return self._listed(Task, path_of("tasks"), query(ordering=ordering, **filters), page_size)

    @verb
    def count(self, **filters: Unpack[TaskFilters]) -> Steps[int]:
        """How many ``list`` would give."""
        return self._counted(path_of("tasks"), query(**filters))

    @verb
    def get(self, task: Task | Key) -> Steps[Task]:
        """The task as it is now."""
        return self._fetched(Task, path_of("tasks", key_of(task)))

    @verb
    def create(self, *, idempotency_key: str | None = None, **values: Unpack[NewTask]) -> Steps[Task]:
        """A new task."""
        return self._made(Task, path_of("tasks"), values, idempotency_key)

    @verb
    def update(self, task: Task | Key, **values: Unpack[TaskChanges]) -> Steps[Task]:
        """Change these fields. Raises ``Changed`` if the task is not what was seen."""
        return self._changed(Task, path_of("tasks", key_of(task)), seen(task), values)

    @verb
    def edit(self, task: Task | Key, change: Callable[[Task], TaskChanges | None]) -> Steps[Task]:
        """Change what ``change`` makes of the task as it is, again if somebody else was quicker."""
        return self._edited(Task, path_of("tasks", key_of(task)), change)

    @verb
    def delete(self, task: Task | Key) -> Steps[None]:
        """Delete it with its comments. Raises ``Changed`` if it is not what was seen."""
        return self._removed(Task, path_of("tasks", key_of(task)), seen(task))


class CommentVerbs(ObjectSteps):
    """``client.comments``."""

    @listing
    def list(self, task: Task | Key, *, ordering: str | None = None, page_size: int | None = None) -> Stream[Comment]:
        """The comments of a task, the oldest first. ``ordering``: created_at or updated_at; ``-`` descends."""
        return self._listed(Comment, path_of("tasks", key_of(task), "comments"), query(ordering=ordering), page_size)

    @verb
    def get(self, comment: Comment | Key) -> Steps[Comment]:
        """The comment as it is now."""
        return self._fetched(Comment, path_of("comments", key_of(comment)))

    @verb
    def create(
        self, task: Task | Key, *, content: str, author: str | None = None, idempotency_key: str | None = None
    ) -> Steps[Comment]:
        """A new comment. ``author`` is what is displayed, the name of whoever is signed in unless given."""
        values = {"content": content} if author is None else {"content": content, "author": author}
        return self._made(Comment, path_of("tasks", key_of(task), "comments"), values, idempotency_key)

    @verb
    def update(self, comment: Comment | Key, **values: Unpack[CommentChanges]) -> Steps[Comment]:
        """Change these fields. Raises ``Changed`` if the comment is not what was seen."""
        return self._changed(Comment, path_of("comments", key_of(comment)), seen(comment), values)

    @verb
    def edit(self, comment: Comment | Key, change: Callable[[Comment], CommentChanges | None]) -> Steps[Comment]:
        """Change what ``change`` makes of the comment as it is, again if somebody else was quicker."""
        return self._edited(Comment, path_of("comments", key_of(comment)), change)

    @verb
    def delete(self, comment: Comment | Key) -> Steps[None]:
        """Delete it. Raises ``Changed`` if it is not what was seen."""
        return self._removed(Comment, path_of("comments", key_of(comment)), seen(comment))


class MemberVerbs(ObjectSteps):
    """``client.members``: who is in a project, and as what."""

    @listing
    def list(self, project: Project | Key, *, page_size: int | None = None) -> Stream[Member]:
        """The members of a project."""
        key = key_of(project)
        return self._listed(Member, path_of("projects", key, "members"), (), page_size, project=key)

    @verb
    def get(self, member: Member) -> Steps[Member]:
        """The membership as it is now."""
        return self._fetched(Member, _member_path(member), project=member.project)

    @verb
    def add(
        self, project: Project | Key, *, user: Key, role: Role, idempotency_key: str | None = None
    ) -> Steps[Member]:
        """Let ``user``, a login name or a primary key, join."""
        key = key_of(project)
        values = {"user": user, "role": role}
        return self._made(Member, path_of("projects", key, "members"), values, idempotency_key, project=key)

    @verb
    def change(self, member: Member, *, role: Role) -> Steps[Member]:
        """Give another role. Raises ``Changed`` if the role is not what was seen."""
        return self._changed(Member, _member_path(member), member, {"role": role}, project=member.project)

    @verb
    def remove(self, member: Member) -> Steps[None]:
        """End the membership. Raises ``Changed`` if the role is not what was seen."""
        return self._removed(Member, _member_path(member), member, project=member.project)


class TokenVerbs(ObjectSteps):
    """``client.tokens``: one's own credentials for scripts. A client that signs in with a token may not use them."""

    @listing
    def list(self, *, page_size: int | None = None) -> Stream[Token]:
        """One's tokens, without their secrets."""
        return self._listed(Token, path_of("tokens"), (), page_size)

    @verb
    def get(self, token: Token | Key) -> Steps[Token]:
        """The token, without its secret."""
        return self._fetched(Token, path_of("tokens", key_of(token)))

    @verb
    def create(
        self,
        *,
        name: str,
        scope: Scope = "read",
        projects: Collection[Project | Key] | None = None,
        expires_at: dt.datetime | None = None,
    ) -> Steps[Token]:
        """A new token with its ``secret``, good for ``projects``, for every project without them."""
        values: dict[str, Any] = {"name": name, "scope": scope, "expires_at": expires_at}
        if projects is not None:
            values["projects"] = [key_of(project) for project in projects]
        path = path_of("tokens")
        for _attempt in range(self._retry.attempts):
            token = yield from self._made(Token, path, values, None)
            if token.secret is not None:
                return token
            # The secret went with the answer that was lost, and is told only once: away with it, and another.
            yield from self._removed(Token, path_of("tokens", token.id), None)
        raise ConnectionFailed("POST", f"/{path}", None, "The answer with the secret was lost each time.")

    @verb
    def delete(self, token: Token | Key) -> Steps[None]:
        """Revoke it, whatever it is now: a token in use changes with each use."""
        return self._removed(Token, path_of("tokens", key_of(token)), None)


# The two of each


class Projects(ProjectVerbs, SyncResource): ...


class Tasks(TaskVerbs, SyncResource): ...


class Comments(CommentVerbs, SyncResource): ...


class Members(MemberVerbs, SyncResource): ...


class Tokens(TokenVerbs, SyncResource): ...


class AsyncProjects(ProjectVerbs, AsyncResource): ...


class AsyncTasks(TaskVerbs, AsyncResource): ...


class AsyncComments(CommentVerbs, AsyncResource): ...


class AsyncMembers(MemberVerbs, AsyncResource): ...


class AsyncTokens(TokenVerbs, AsyncResource): ...


# What they use


def new_key() -> str:
    """An idempotency key that nobody has used."""
    return uuid.uuid4().hex


def seen(thing: E | Key) -> E | None:
    """The object that the caller has seen, None for a bare key."""
    return thing if isinstance(thing, Editable) else None


def holds(now: Editable, values: Mapping[str, Any]) -> bool:
    """Whether the object has these values, as the API would show them."""
    return all(_same(now.raw.get(name), value) for name, value in values.items())


def cursor_of(link: Any) -> str | None:
    """The cursor in a link to the next page.

    Nothing else of it is used: the next page is asked of where this one came from, so no answer can send the
    credentials elsewhere, and a proxy that hides the site's name does no harm.
    """
    if not isinstance(link, str):
        return None
    return httpx.QueryParams(urlsplit(link).query).get("cursor")


def _same(now: Any, sent: Any) -> bool:
    if isinstance(sent, dt.datetime):
        return isinstance(now, str) and instant(now) == sent
    if isinstance(sent, Editable):
        sent = sent.id
    if isinstance(sent, (str, int)) and not isinstance(sent, bool) and isinstance(now, (str, int)):
        return str(now).strip() == str(sent).strip()  # the API trims names, and takes a key as text
    return bool(now == sent)


def object_of(kind: type[E], request: Request, outcome: Outcome, **told: Any) -> E:
    """The object that an answer tells of, with its tag."""
    data = content(request, outcome.response)
    return read(kind, request, data, etag=outcome.response.headers.get(ETAG), **told)


def _member_path(member: Member) -> str:
    return path_of("projects", member.project, "members", member.id)
