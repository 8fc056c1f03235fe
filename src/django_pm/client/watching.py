"""How much one hears of a project or a task: as steps, for ``client.projects`` and ``client.tasks`` of both clients.

It is one's own: no event tells of it, and it does not change what the object is.
"""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from django_pm.client.errors import UnexpectedAnswer
from django_pm.client.objects import Editable, Key, WatchLevel
from django_pm.client.steps import Steps, content, exchange, get, key_of, path_of, require, send
from django_pm.client.verbs import Resource, verb

E = TypeVar("E", bound=Editable)


class WatchVerbs(Resource, Generic[E]):
    """What projects and tasks have in common."""

    _kind: ClassVar[str]

    @verb
    def watch_level(self, watched: E | Key) -> Steps[WatchLevel | None]:
        """How much one hears of it; None where one said nothing and has nothing to do with it."""
        request = get(self._watch_path(watched))
        outcome = yield from exchange(request, self._retry)
        require(request, outcome, 200)
        answer = content(request, outcome.response)
        if "level" not in answer:
            raise UnexpectedAnswer(request.method, request.shown, outcome.status, "The answer has no level.")
        level: WatchLevel | None = answer["level"]
        return level

    @verb
    def watch(self, watched: E | Key) -> Steps[None]:
        """Hear of its comments and changes of status: of a project, those of all its tasks."""
        return self._said(watched, "watching")

    @verb
    def mute(self, watched: E | Key) -> Steps[None]:
        """Hear no more of it, but for what is about oneself: mentions, being given it."""
        return self._said(watched, "muted")

    @verb
    def unwatch(self, watched: E | Key) -> Steps[None]:
        """Take back what was said, a mute too, and being involved."""
        request = send("DELETE", self._watch_path(watched))
        outcome = yield from exchange(request, self._retry)
        require(request, outcome, 204)

    def _said(self, watched: E | Key, level: WatchLevel) -> Steps[None]:
        request = send("PUT", self._watch_path(watched), {"level": level})
        outcome = yield from exchange(request, self._retry)
        require(request, outcome, 200)

    def _watch_path(self, watched: E | Key) -> str:
        return path_of(self._kind, key_of(watched), "watch")
