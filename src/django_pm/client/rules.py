"""The escalation rules of projects: ``client.rules``, as steps, for both clients."""

from __future__ import annotations

from typing import Required, TypedDict, Unpack

from django_pm.client.objects import Action, Condition, Key, Project, Role, Rule, Status
from django_pm.client.resources import ObjectSteps, seen
from django_pm.client.steps import Steps, Stream, key_of, path_of
from django_pm.client.verbs import AsyncResource, SyncResource, listing, verb


class RuleChanges(TypedDict, total=False):
    """What can be written of a rule."""

    name: str
    condition: Condition
    hours: int | None
    status: Status | None
    days: int | None
    action: Action
    role: Role | None
    is_active: bool


class NewRule(RuleChanges):
    name: Required[str]  # type: ignore[misc]
    condition: Required[Condition]  # type: ignore[misc]
    action: Required[Action]  # type: ignore[misc]


class RuleVerbs(ObjectSteps):
    """``client.rules``: what becomes of tasks that are left lying."""

    @listing
    def list(self, project: Project | Key, *, page_size: int | None = None) -> Stream[Rule]:
        """The rules of a project, the oldest first."""
        return self._listed(Rule, path_of("projects", key_of(project), "rules"), (), page_size)

    @verb
    def get(self, project: Project | Key, rule: Rule | Key) -> Steps[Rule]:
        """The rule as it is now."""
        return self._fetched(Rule, _path(project, rule))

    @verb
    def create(
        self, project: Project | Key, *, idempotency_key: str | None = None, **values: Unpack[NewRule]
    ) -> Steps[Rule]:
        """A new rule: ``hours`` with overdue, ``status`` and ``days`` with stuck, ``role`` with notify."""
        return self._made(Rule, path_of("projects", key_of(project), "rules"), values, idempotency_key)

    @verb
    def update(self, rule: Rule, **values: Unpack[RuleChanges]) -> Steps[Rule]:
        """Change these fields. Raises ``Changed`` if the rule is not what was seen."""
        return self._changed(Rule, _path(rule.project, rule), seen(rule), values)

    @verb
    def delete(self, rule: Rule) -> Steps[None]:
        """Delete it. Raises ``Changed`` if it is not what was seen."""
        return self._removed(Rule, _path(rule.project, rule), seen(rule))


class Rules(RuleVerbs, SyncResource): ...


class AsyncRules(RuleVerbs, AsyncResource): ...


def _path(project: Project | Key, rule: Rule | Key) -> str:
    return path_of("projects", key_of(project), "rules", key_of(rule))
