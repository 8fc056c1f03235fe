"""Rules act on what is overdue or stuck: once for each instant since which it is so, with an event as their cause."""

import datetime as dt

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.db.models.signals import pre_save
from django.utils import timezone

from django_pm.context import acting
from django_pm.models import EscalationRule, Event, Firing, Project, Task
from django_pm.services import escalating
from django_pm.services.escalating import escalate
from django_pm.services.pruning import prune
from tests.events.support import Log
from tests.factories import make_member, make_project, make_rule, make_task, make_user

pytestmark = pytest.mark.django_db

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
OVERDUE = {"condition": "overdue", "hours": 24}
STUCK = {"condition": "stuck", "status": "in_progress", "days": 3}
NOTIFY = {"action": "notify", "role": "manager"}
REASSIGN = {"action": "reassign"}
RAISE = {"action": "raise_priority"}
CONDITIONS, ACTIONS = [OVERDUE, STUCK], [NOTIFY, REASSIGN, RAISE]


@pytest.fixture
def now():
    return timezone.now()


def neglect(project, now, *, longer=DAY, **fields):
    """A task to which both conditions have applied for `longer` than they need."""
    began = now - 3 * DAY - longer
    task = make_task(
        project, status="in_progress", due_date=now - DAY - longer, created_at=began, **{"priority": "low", **fields}
    )
    Event.objects.filter(object_type="task", object_id=task.pk).update(created_at=began)
    return task


def since(rule, task):
    """The instant since which the rule finds that the task is so."""
    if rule.condition == "overdue":
        return task.due_date
    told = Event.objects.filter(object_type="task", object_id=task.pk, changes__has_key="status")
    return told.latest("id").created_at


def outcomes():
    return list(Firing.objects.order_by("pk").values_list("rule", "task_id", "outcome"))


class TestActing:
    @pytest.mark.parametrize("condition", CONDITIONS, ids=lambda each: each["condition"])
    @pytest.mark.parametrize("action", ACTIONS, ids=lambda each: each["action"])
    def test_each_condition_with_each_action(self, project, owner, now, condition, action):
        helper = make_member(project).user
        task = neglect(project, now, assignee=owner)
        rule = make_rule(project, **condition, **action)
        expected = since(rule, task)
        log = Log()
        with acting(owner, origin="somebody else's"):
            assert escalate(now=now) == 1
        task.refresh_from_db()
        assert task.priority == ("medium" if action is RAISE else "low")
        assert task.assignee == (helper if action is REASSIGN else owner)
        assert outcomes() == [(rule.pk, task.pk, "done")]
        firing = Firing.objects.get()
        assert (firing.instant, firing.fired_at, firing.action) == (expected, now, action["action"])
        cause, *changed = log.events()
        assert (cause.type, cause.object_type, cause.object_id) == ("task.escalated", "task", str(task.pk))
        assert cause.changes == {
            "rule": [None, rule.pk],
            "action": [None, action["action"]],
            "since": [None, expected.isoformat().replace("+00:00", "Z")],
            "outcome": [None, "done"],
            **({"role": [None, "manager"]} if action is NOTIFY else {}),
        }
        assert [event.type for event in changed] == ([] if action is NOTIFY else ["task.updated"])
        for event in (cause, *changed):
            assert (event.origin, event.actor_id, event.project_id) == (f"rule:{rule.pk}", None, project.pk)

    @pytest.mark.parametrize("condition", CONDITIONS, ids=lambda each: each["condition"])
    def test_not_a_moment_early(self, project, now, condition):
        neglect(project, now, longer=-dt.timedelta(seconds=1))
        make_rule(project, **condition, **RAISE)
        assert escalate(now=now) == 0
        assert escalate(now=now + dt.timedelta(seconds=1)) == 1

    @pytest.mark.parametrize("condition", CONDITIONS, ids=lambda each: each["condition"])
    def test_once_however_often_it_is_asked(self, project, now, condition):
        task = neglect(project, now)
        make_rule(project, **condition, **RAISE)
        log = Log()
        assert [escalate(now=now + turn * DAY) for turn in range(3)] == [1, 0, 0]
        assert log.told() == [("task.escalated", str(task.pk)), ("task.updated", str(task.pk))]

    def test_each_rule_for_itself(self, project, now):
        task = neglect(project, now)
        rules = [make_rule(project, **condition, **RAISE) for condition in CONDITIONS]
        assert escalate(now=now) == 2
        assert sorted(outcomes()) == [(rule.pk, task.pk, "done") for rule in rules]
        task.refresh_from_db()
        assert task.priority == "high"

    def test_only_in_its_own_project_and_only_while_it_is_active(self, project, now):
        rule = make_rule(project, is_active=False, **OVERDUE, **RAISE)
        elsewhere = neglect(make_project(), now)
        here = neglect(project, now)
        assert escalate(now=now) == 0
        EscalationRule.objects.update(is_active=True)
        assert escalate(now=now) == 1
        assert outcomes() == [(rule.pk, here.pk, "done")]
        elsewhere.refresh_from_db()
        assert elsewhere.priority == "low"

    def test_more_than_one_statement_finds(self, project, now, monkeypatch):
        monkeypatch.setattr(escalating, "CHUNK", 2)
        tasks = [neglect(project, now, longer=number // 2 * HOUR + DAY) for number in range(7)]
        for condition in CONDITIONS:
            make_rule(project, **condition, **RAISE)
        assert escalate(now=now) == 14
        assert {task.priority for task in Task.objects.all()} == {"high"}
        assert len({task_id for _rule, task_id, _outcome in outcomes()}) == len(tasks)

    def test_a_command_does_it(self, project, now, capsys):
        neglect(project, now)
        make_rule(project)
        call_command("pm_escalate")
        assert capsys.readouterr().out == "rules acted 1 times\n"

    def test_no_longer_than_it_is_given(self, project, now, monkeypatch, time_machine):
        for _ in range(3):
            neglect(project, now)
        for _ in range(2):
            make_rule(project, **OVERDUE, **RAISE)
        fire = escalating._fire

        def take_a_minute(*args):
            time_machine.shift(60)
            return fire(*args)

        monkeypatch.setattr(escalating, "_fire", take_a_minute)
        time_machine.move_to(now, tick=False)
        assert escalate(now=now, for_at_most=dt.timedelta(0)) == 0
        assert escalate(now=now, for_at_most=dt.timedelta(minutes=2)) == 2
        assert escalate(now=now, for_at_most=dt.timedelta(minutes=3)) == 3
        assert escalate(now=now) == 1


class TestWhatEndsIt:
    @pytest.mark.parametrize("condition", CONDITIONS, ids=lambda each: each["condition"])
    def test_a_task_that_is_completed(self, project, now, condition):
        task = neglect(project, now)
        make_rule(project, **condition, **RAISE)
        task.status = "completed"
        task.save()
        assert escalate(now=now) == 0

    @pytest.mark.parametrize("condition", CONDITIONS, ids=lambda each: each["condition"])
    def test_between_the_look_and_the_lock(self, project, now, monkeypatch, condition):
        """What the rule has found may have been completed when its turn comes."""
        tasks = [neglect(project, now) for _ in range(2)]
        make_rule(project, **condition, **RAISE)
        find = escalating._find

        def complete_one_meanwhile(*args):
            dues = list(find(*args))
            Task.objects.filter(pk=tasks[0].pk).update(status="completed")
            return iter(dues)

        monkeypatch.setattr(escalating, "_find", complete_one_meanwhile)
        assert escalate(now=now) == 1
        assert [task_id for _rule, task_id, _outcome in outcomes()] == [tasks[1].pk]

    @pytest.mark.parametrize("change", [{"is_active": False}, None], ids=["switched off", "deleted"])
    def test_a_rule_that_ends_meanwhile(self, project, now, monkeypatch, change):
        neglect(project, now)
        make_rule(project, **OVERDUE, **RAISE)
        find = escalating._find

        def end_it_meanwhile(*args):
            dues = list(find(*args))
            EscalationRule.objects.update(**change) if change else EscalationRule.objects.all().delete()
            return iter(dues)

        monkeypatch.setattr(escalating, "_find", end_it_meanwhile)
        assert escalate(now=now) == 0
        assert Task.objects.get().priority == "low"

    def test_a_due_date_that_is_moved_begins_anew(self, project, now):
        task = neglect(project, now)
        make_rule(project, **OVERDUE, **RAISE)
        assert escalate(now=now) == 1
        first = task.due_date
        Task.objects.filter(pk=task.pk).update(due_date=now + DAY)  # as a host's own code does it
        assert escalate(now=now) == 0
        assert escalate(now=now + 2 * DAY) == 1
        Task.objects.filter(pk=task.pk).update(due_date=first)
        assert escalate(now=now + 2 * DAY) == 0, "of that instant it has acted already"

    def test_a_status_that_comes_back_begins_anew(self, project, now, time_machine):
        task = neglect(project, now)
        make_rule(project, **STUCK, **RAISE)
        assert escalate(now=now) == 1
        time_machine.move_to(now + HOUR, tick=False)
        Task.objects.filter(pk=task.pk).update(status="pending")
        Task.objects.filter(pk=task.pk).update(status="in_progress")
        assert escalate(now=now + 3 * DAY) == 0
        assert escalate(now=now + 3 * DAY + HOUR) == 1

    def test_other_edits_do_not(self, project, now, time_machine):
        task = neglect(project, now, longer=-HOUR)
        make_rule(project, **STUCK, **RAISE)
        time_machine.move_to(now, tick=False)
        task.title = "Dig deeper"
        task.save()
        assert escalate(now=now + HOUR) == 1


class TestTheLogOfStatuses:
    def test_where_it_tells_nothing_the_task_counts_from_its_creation(self, project, now):
        neglect(project, now)
        Event.objects.all().delete()
        make_rule(project, **STUCK, **RAISE)
        assert escalate(now=now - DAY - dt.timedelta(seconds=1)) == 0
        assert escalate(now=now) == 1

    def test_events_that_are_pruned_make_nobody_act_twice(self, project, now):
        task = neglect(project, now)
        Task.objects.filter(pk=task.pk).update(created_at=now - 30 * DAY)
        make_rule(project, **STUCK, **RAISE)
        assert escalate(now=now) == 1
        Event.objects.all().delete()
        assert escalate(now=now) == 0

    def test_a_change_that_only_a_resync_tells_of_counts_from_then(self, project, now):
        changed, same = neglect(project, now), neglect(project, now)
        Event.objects.filter(object_id=changed.pk, object_type="task").update(changes={"status": [None, "pending"]})
        resync = Event.objects.create(
            project_id=project.pk,
            type="project.resync",
            object_type="project",
            object_id=project.pk,
            created_at=now - HOUR,
        )
        rule = make_rule(project, **STUCK, **RAISE)
        assert escalate(now=now) == 1
        assert escalate(now=resync.created_at + 3 * DAY - dt.timedelta(seconds=1)) == 0
        assert escalate(now=resync.created_at + 3 * DAY) == 1
        assert outcomes() == [(rule.pk, same.pk, "done"), (rule.pk, changed.pk, "done")]

    @pytest.mark.parametrize("how", ["never recorded", "pruned"])
    def test_a_resync_begins_nothing_anew_where_it_tells_nothing(self, project, now, how, monkeypatch, time_machine):
        """An import that was too large to be told row by row, and a host that stamps all of it once a week."""
        monkeypatch.setattr("django_pm.models.recorder.RESYNC_ABOVE", 2)
        if how == "never recorded":
            tasks = [Task(project=project, title="Dig", status="in_progress", priority="low") for _ in range(3)]
            Task.objects.bulk_create(tasks)
        else:
            for _ in range(3):
                make_task(project, status="in_progress", priority="low")
            Event.objects.all().delete()
        make_rule(project, **STUCK, **RAISE)
        fired = []
        for week in range(1, 5):
            time_machine.move_to(now + week * 7 * DAY, tick=False)
            fired.append(escalate())
            Task.objects.update(metadata={"week": week})
        assert not Event.objects.filter(object_type="task", changes__has_key="status").exists()
        assert Event.objects.filter(type="project.resync").count() >= 4
        assert fired == [3, 0, 0, 0]
        assert {task.priority for task in Task.objects.all()} == {"medium"}


class TestWhatCannotBeDone:
    def test_an_urgent_task_is_noted_and_told(self, project, now):
        task, other = neglect(project, now, priority="urgent"), neglect(project, now, priority="high", longer=HOUR)
        rule = make_rule(project, **OVERDUE, **RAISE)
        log = Log()
        assert escalate(now=now) == 2
        assert outcomes() == [(rule.pk, task.pk, "already_urgent"), (rule.pk, other.pk, "done")]
        assert escalate(now=now) == 0
        told = [event.changes.get("outcome", [None, ""])[1] for event in log.events()]
        assert told == ["already_urgent", "done", ""]

    def test_nobody_else_to_give_it_to(self, project, owner, now):
        task = neglect(project, now, assignee=owner)
        make_member(project, role="viewer")
        make_member(project, make_user(is_active=False))
        rule = make_rule(project, **OVERDUE, **REASSIGN)
        assert escalate(now=now) == 1
        assert outcomes() == [(rule.pk, task.pk, "nobody")]
        task.refresh_from_db()
        assert task.assignee == owner

    def test_a_task_on_which_it_fails_is_in_nobodys_way(self, project, now, caplog, monkeypatch):
        """As a host's own handler may. Nothing of it is kept, and it is tried again."""
        monkeypatch.setattr(escalating, "CHUNK", 1)
        first, second = neglect(project, now), neglect(project, now, longer=HOUR)
        failing, fine = make_rule(project, **OVERDUE, **RAISE), make_rule(project, **STUCK, **NOTIFY)

        def refuse(sender, instance, **options):
            if instance.pk == first.pk:
                raise ZeroDivisionError("as a handler might")

        pre_save.connect(refuse, sender=Task)
        try:
            assert escalate(now=now) == 3
            assert not Firing.objects.filter(rule=failing, task_id=first.pk).exists()
            assert not Event.objects.filter(type="task.escalated", object_id=first.pk, origin=f"rule:{failing.pk}")
            assert f"Rule {failing.pk} could not act on task {first.pk}." in caplog.messages
            failing.refresh_from_db()
            fine.refresh_from_db()
            assert (failing.failure, fine.failed_at) == ("ZeroDivisionError: as a handler might", None)
        finally:
            pre_save.disconnect(refuse, sender=Task)
        assert escalate(now=now) == 1
        failing.refresh_from_db()
        assert (failing.failed_at, failing.failure) == (None, "")
        assert Task.objects.get(pk=second.pk).priority == "medium"

    def test_a_crash_before_the_event_leaves_nothing(self, project, now, monkeypatch):
        neglect(project, now)
        make_rule(project, **OVERDUE, **RAISE)
        before = list(Event.objects.values_list("pk", flat=True))

        def crash(*args, **options):
            assert Firing.objects.exists()
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(escalating, "append", crash)
            with pytest.raises(KeyboardInterrupt):
                escalate(now=now)
        assert not Firing.objects.exists()
        assert list(Event.objects.values_list("pk", flat=True)) == before
        assert escalate(now=now) == 1


class TestTheTables:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"hours": None},
            {"hours": 0},
            {"days": 1},
            {"status": "pending"},
            {"condition": "stuck"},
            {**STUCK, "hours": None, "status": "completed"},
            {**STUCK, "hours": None, "days": 0},
            {**STUCK},
            {"condition": "other"},
            {"role": None},
            {"role": "other"},
            {"action": "reassign"},
            {"action": "other"},
        ],
        ids=str,
    )
    def test_no_rule_that_means_nothing(self, project, wrong):
        with pytest.raises(IntegrityError), transaction.atomic():
            EscalationRule.objects.create(project=project, name="r", **{**OVERDUE, **NOTIFY, **wrong})

    def test_one_firing_for_one_instant(self, project, now):
        rule = make_rule(project)
        for number, instant in enumerate((now, now + HOUR)):
            Firing.objects.create(rule=rule, task_id=1, instant=instant, action="notify")
            with pytest.raises(IntegrityError), transaction.atomic():
                Firing.objects.create(rule=rule, task_id=1, instant=instant, action="notify")
            assert Firing.objects.count() == number + 1

    @pytest.mark.parametrize("in_bulk", [False, True])
    def test_they_go_with_their_project_and_are_not_told(self, project, now, in_bulk):
        kept = make_rule(make_project())
        neglect(project, now)
        make_rule(project)
        assert escalate(now=now) == 1
        log = Log()
        Project.objects.filter(pk=project.pk).delete() if in_bulk else project.delete()
        assert log.told() == [("project.deleted", log.only().object_id)]
        assert list(EscalationRule.objects.all()) == [kept]
        assert not Firing.objects.exists()

    def test_what_is_known_of_tasks_that_are_gone_is_let_go_of(self, project, now):
        gone, there = neglect(project, now), neglect(project, now)
        make_rule(project)
        assert escalate(now=now) == 2
        gone.delete()
        assert prune()["firings"] == 1
        assert Firing.objects.get().task_id == there.pk
        assert escalate(now=now) == 0

    def test_the_number_of_statements_that_find_does_not_grow(self, project, now, django_assert_num_queries):
        make_rule(project, **STUCK, **NOTIFY)
        for _ in range(10):
            neglect(project, now, longer=-HOUR)
        with django_assert_num_queries(4):  # the rules, the rule, its resyncs, its tasks
            assert escalate(now=now) == 0
