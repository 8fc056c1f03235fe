"""A task goes to whoever has least to do, also when many are given away at once."""

import datetime as dt
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction
from django.utils import timezone

from django_pm.models import EscalationRule, Event, Firing, Task
from django_pm.services.assigning import assign, least_loaded
from django_pm.services.escalating import escalate
from tests.api.support import shown
from tests.events.support import Log
from tests.factories import make_member, make_project, make_rule, make_superuser, make_task, make_user
from tests.services.test_members import wait_until_somebody_waits_for_this_transaction

MANY = 64


@pytest.mark.django_db
class TestWho:
    def test_whoever_has_fewest_open_tasks_here(self, project, owner):
        busy, idle = make_member(project).user, make_member(project).user
        make_task(project, assignee=owner)
        make_task(project, assignee=busy)
        make_task(project, assignee=idle, status="completed")
        make_task(assignee=idle)
        assert least_loaded(project_id=project.pk) == idle.pk

    def test_of_several_who_joined_first(self, project, owner):
        second = make_member(project).user
        make_member(project)
        assert least_loaded(project_id=project.pk) == owner.pk
        assert least_loaded(project_id=project.pk, besides=owner.pk) == second.pk

    @pytest.mark.parametrize("role", ["member", "manager", "owner"])
    def test_every_role_that_may_work(self, project, owner, role):
        member = make_member(project, role=role)
        assert least_loaded(project_id=project.pk, besides=owner.pk) == member.user_id

    def test_no_viewer_nobody_deactivated_and_no_stranger(self, project, owner):
        make_member(project, role="viewer")
        make_member(project, make_user(is_active=False))
        make_member(make_project())
        make_superuser()
        assert least_loaded(project_id=project.pk, besides=owner.pk) is None

    def test_nobody_whom_the_sites_policy_does_not_let_see_it(self, project, owner, settings):
        make_member(project)
        settings.DJANGO_PM = {"POLICY": "django_pm.access.ModelPermissionPolicy"}
        assert least_loaded(project_id=project.pk) is None

    def test_a_task_is_given_and_the_log_tells(self, project, owner):
        member = make_member(project).user
        task = make_task(project, assignee=owner)
        log = Log()
        assert assign(actor=owner, task=task) == member.pk
        assert log.only().changes["assignee"] == [shown(owner), shown(member)]
        task.refresh_from_db()
        assert task.assignee == member

    def test_with_nobody_else_it_stays_as_it_is(self, project, owner):
        task = make_task(project, assignee=owner)
        log = Log()
        assert assign(actor=owner, task=task) is None
        assert log.events() == []

    def test_a_task_that_is_gone(self, project, owner):
        task = make_task(project)
        Task.objects.all().delete()
        with pytest.raises(Task.DoesNotExist):
            assign(actor=owner, task=task)


def threads(number, work, rows):
    """Do `work` with each of `rows`, `number` at a time, each thread with a connection of its own."""

    def run(row):
        try:
            return work(row)
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, rows))


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    @pytest.fixture
    def team(self, project, owner):
        """Eight who may work."""
        return [owner, *(make_member(project).user for _ in range(7))]

    def test_many_spread_evenly_and_none_is_given_twice(self, project, team):
        tasks = [make_task(project) for _ in range(MANY)]
        log = Log()
        given = threads(32, lambda task: assign(actor=None, task=task), tasks)
        assert Counter(given) == {user.pk: MANY // len(team) for user in team}
        assert dict(zip([task.pk for task in tasks], given, strict=True)) == dict(
            Task.objects.values_list("pk", "assignee")
        )
        assert sorted(log.told()) == sorted(("task.updated", str(task.pk)) for task in tasks)

    def test_the_same_one_given_by_many_is_given_by_one_after_the_other(self, project, team):
        """Each takes it from whom the one before gave it to: nobody is given it from nobody twice."""
        task = make_task(project)
        log = Log()
        threads(8, lambda _turn: assign(actor=None, task=task), range(8))
        steps = [event.changes["assignee"] for event in log.events()]
        assert len(steps) == 8
        assert [new for _old, new in steps[:-1]] == [old for old, _new in steps[1:]]

    def test_rules_that_act_at_once_act_once_on_each_and_spread_them(self, project, team):
        """Four schedulers, and two rules for half of the tasks each."""
        now = timezone.now()
        long_ago, lately = (now - dt.timedelta(days=days) for days in (9, 2))
        for number in range(MANY):
            if number % 2:
                make_task(project, due_date=lately)
            else:
                make_task(project, status="in_progress", created_at=long_ago)
        Event.objects.filter(type="task.created").update(created_at=long_ago)
        make_rule(project, action="reassign")
        make_rule(project, condition="stuck", status="in_progress", days=8, action="reassign")
        log = Log()
        fired = threads(4, lambda _turn: escalate(now=now), range(4))
        assert sum(fired) == MANY == Firing.objects.count()
        assert Counter(Task.objects.values_list("assignee", flat=True)) == {user.pk: MANY // 8 for user in team}
        assert Counter(kind for kind, _key in log.told()) == {"task.escalated": MANY, "task.updated": MANY}

    @pytest.mark.parametrize("what", ["the task", "the rule"])
    def test_it_waits_for_what_is_being_ended(self, project, owner, what):
        task = make_task(project, due_date=timezone.now() - dt.timedelta(days=2))
        rule = make_rule(project, action="raise_priority")
        with ThreadPoolExecutor(1) as pool:
            with transaction.atomic():
                if what == "the task":
                    Task.objects.filter(pk=task.pk).update(status="completed")
                else:
                    EscalationRule.objects.filter(pk=rule.pk).update(is_active=False)
                acting = pool.submit(threads, 1, lambda _turn: escalate(), [None])
                wait_until_somebody_waits_for_this_transaction()
            assert acting.result(timeout=30) == [0]
        assert not Firing.objects.exists()

    def test_beside_the_deletion_of_the_project(self, project, team):
        """Whoever is second waits and finds nothing; neither is given up for the other."""
        for _ in range(20):
            make_task(project, due_date=timezone.now() - dt.timedelta(days=2))
        make_rule(project, action="reassign")
        works = [escalate, project.delete, escalate]
        threads(3, lambda work: work(), works)
        assert not Firing.objects.exists()
        assert not Task.objects.exists()
