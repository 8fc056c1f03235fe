"""What a report says, against the same told in plain Python over all rows and events; and that it is of one moment."""

import datetime as dt
import json
import random
from collections import Counter
from contextlib import contextmanager
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_pm import event_types
from django_pm.events import feed
from django_pm.events.external import record_external_change
from django_pm.events.retention import prune
from django_pm.models import Comment, Event, Priority, Project, ProjectStream, Status, Task
from django_pm.services.summaries import Place, summarise
from tests.events.workers import Session, interrupted
from tests.factories import make_comment, make_project, make_task, make_user

NOW = dt.datetime(2031, 5, 4, 9, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
ZONES = ["UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kathmandu", "America/New_York", "Africa/Cairo"]
"""Cairo's 25 April 2031 begins at one o'clock."""


# The same, in plain Python


def expected(place, now):
    """What `summarise` is to say of one place, by one pass over its rows and one over its events."""
    tasks = list(Task.objects.filter(project=place.project_id).order_by("pk"))
    events = list(Event.objects.filter(project_id=place.project_id).order_by("id"))
    open_tasks = [task for task in tasks if task.status != "completed"]
    overdue = [task for task in open_tasks if task.due_date and task.due_date < now]
    upcoming = sorted((task for task in open_tasks if task.due_date and task.due_date >= now), key=by_due_date)
    trend = expected_trend(place, events)

    def is_yesterday(at):
        return at is not None and at.astimezone(place.zone).date() == place.date - DAY

    return {
        "day": {
            "date": str(place.date - DAY),
            "start": midnight(place.date - DAY, place.zone),
            "end": midnight(place.date, place.zone),
            "created": sum(is_yesterday(task.created_at) for task in tasks),
            "completed": sum(is_yesterday(task.completed_at) for task in tasks),
            "comments": trend[-1]["comments"],
        },
        "tasks": {
            "total": len(tasks),
            "open": len(open_tasks),
            "completed": len(tasks) - len(open_tasks),
            "overdue": len(overdue),
        },
        "by_status": {status.value: sum(task.status == status for task in tasks) for status in Status},
        "by_priority": {rank.value: sum(task.priority == rank for task in open_tasks) for rank in Priority},
        "by_assignee": expected_assignees(open_tasks, overdue),
        "due_next": [
            {
                "id": task.pk,
                "title": task.title,
                "due_date": event_types.encode(task.due_date),
                "assignee": shown(task.assignee_id),
            }
            for task in upcoming[:5]
        ],
        "most_active": expected_active(place, tasks, events),
        "trend": trend,
    }


def by_due_date(task):
    return task.due_date, task.pk


def shown(key):
    return key if key is None or isinstance(key, int) else str(key)


def begins(date, zone):
    """Its first instant: a midnight that clocks skip is an hour of the day before, and the same instant."""
    return dt.datetime.combine(date, dt.time(), tzinfo=zone)


def midnight(date, zone):
    return event_types.encode(begins(date, zone))


def expected_assignees(open_tasks, overdue):
    late = Counter(task.assignee_id for task in overdue)
    counts = Counter(task.assignee_id for task in open_tasks).items()
    # Who has most; nobody after everybody of the same number. UUIDs are sorted as text, which is the same.
    ordered = sorted(counts, key=lambda pair: (-pair[1], pair[0] is None, pair[0] if pair[0] is not None else 0))
    return [{"user": shown(user), "open": count, "overdue": late[user]} for user, count in ordered[:20]]


def expected_trend(place, events):
    stream = ProjectStream.objects.filter(pk=place.project_id).first()
    first_kept = min((event.created_at for event in events), default=None)
    days = []
    for ago in range(14, 0, -1):
        date = place.date - ago * DAY
        mine = [event for event in events if event.created_at.astimezone(place.zone).date() == date]
        is_kept = (
            stream is None or stream.floor == 1 or (first_kept is not None and first_kept <= begins(date, place.zone))
        )
        days.append(
            {
                "date": str(date),
                "created": sum(event.type == "task.created" for event in mine),
                "completed": sum(completes(event) for event in mine),
                "comments": sum(event.type == "comment.created" for event in mine),
                "complete": is_kept and not any(event.type == "project.resync" for event in mine),
            }
        )
    return days


def completes(event):
    if event.type == "task.created" and "comments" in event.changes:  # it came from elsewhere as it is
        return False
    return event.object_type == "task" and event.changes.get("status", [None, None])[1] == "completed"


def expected_active(place, tasks, events):
    titles = {task.pk: task.title for task in tasks}
    counts = Counter()
    for event in events:
        if 1 <= (place.date - event.created_at.astimezone(place.zone).date()).days <= 7:
            key = event.object_id if event.object_type == "task" else None
            if event.object_type == "comment":
                key = next((key for key in reversed(event.changes.get("task", [])) if key is not None), None)
            if key is not None and int(key) in titles:
                counts[int(key)] += 1
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"id": key, "title": titles[key], "events": count} for key, count in ordered[:5]]


# Who writes


class Host:
    """A site on which much happens, by every kind of write; drawn at random, but the same for each seed."""

    def __init__(self, seed, travel):
        self.random = random.Random(seed)  # noqa: S311
        self.travel = travel
        self.now = NOW - 17 * DAY
        self.travel(self.now)
        self.people = [make_user() for _ in range(4)]
        self.projects = [make_project(time_zone=zone, name=zone) for zone in ZONES]

    def draw(self, rows):
        """A few of these, in a queryset."""
        keys = list(rows.order_by("pk").values_list("pk", flat=True))
        return rows.filter(pk__in=self.random.sample(keys, min(len(keys), self.random.randint(1, 4))))

    def values(self):
        draw = self.random
        return {
            "status": draw.choice(Status.values),
            "priority": draw.choice(Priority.values),
            "assignee": draw.choice([None, *self.people]),
            "due_date": draw.choice([None, self.now + draw.randint(-100, 200) * HOUR]),
        }

    def some_values(self):
        name, value = self.random.choice(list(self.values().items()))
        return {name: value}

    def make(self):
        make_task(self.random.choice(self.projects), title=str(self.random.random()), **self.values())

    def make_many(self):
        project = self.random.choice(self.projects)
        Task.objects.bulk_create(Task(project=project, title="bulk", **self.values()) for _ in range(4))

    def save(self):
        for task in self.draw(Task.objects.all()):
            for name, value in self.values().items():
                setattr(task, name, value)
            task.save()

    def update(self):
        self.draw(Task.objects.all()).update(**self.some_values())

    def update_in_bulk(self):
        tasks = list(self.draw(Task.objects.all()))
        for task in tasks:
            task.status = self.random.choice(Status.values)
        Task.objects.bulk_update(tasks, ["status"])

    def move(self):
        self.draw(Task.objects.all()).update(project=self.random.choice(self.projects))

    def move_one(self):
        for task in self.draw(Task.objects.all()):
            task.project = self.random.choice(self.projects)
            task.save()

    def delete(self):
        self.draw(Task.objects.all()).delete()

    def delete_one(self):
        for task in self.draw(Task.objects.all()):
            task.delete()

    def comment(self):
        for task in self.draw(Task.objects.all()):
            make_comment(task, self.random.choice([None, *self.people]))

    def comment_again(self):
        for comment in self.draw(Comment.objects.all()):
            comment.content += " Deeper!"
            comment.save()

    def take_back(self):
        self.draw(Comment.objects.all()).delete()

    def write_past_us(self):
        record_external_change(self.random.choice(self.projects).pk)

    def prune(self):
        prune(self.random.choice(self.projects).pk, keep=self.random.randint(0, 30))

    def lose_somebody(self):
        if len(self.people) > 2:
            self.people.pop().delete()

    USUAL = (make, make_many, save, update, update_in_bulk, move, move_one, delete, delete_one, comment, comment)
    RARE = (comment_again, take_back, write_past_us, prune, lose_somebody)

    def act(self):
        self.now += self.random.randint(0, 12 * 3600) * dt.timedelta(seconds=1)
        self.travel(self.now)
        self.random.choice(self.USUAL * 3 + self.RARE)(self)

    def places(self):
        return [place_of(project, self.now) for project in self.projects]


def place_of(project, now=NOW):
    zone = ZoneInfo(project.time_zone)
    return Place(project.pk, now.astimezone(zone).date(), zone)


def said_of(project, now=NOW):
    return summarise([place_of(project, now)], now)[project.pk]


@pytest.fixture
def travel(time_machine):
    def to(instant):
        time_machine.move_to(instant, tick=False)

    return to


@pytest.mark.django_db
class TestAgainstPlainPython:
    @pytest.mark.parametrize("seed", range(6))
    def test_whatever_happens(self, seed, travel):
        host = Host(seed, travel)
        for _ in range(5):
            for _ in range(16):
                host.act()
            found = summarise(host.places(), host.now)
            for place in host.places():
                assert found[place.project_id] == expected(place, host.now), place
            assert json.loads(json.dumps(list(found.values()))) == list(found.values())

    def test_an_earlier_date(self, travel):
        """What is made up for tells of its own days, and of how things stand when it is made."""
        host = Host(99, travel)
        for _ in range(60):
            host.act()
        places = [place._replace(date=place.date - 3 * DAY) for place in host.places()]
        found = summarise(places, host.now)
        assert found == {place.project_id: expected(place, host.now) for place in places}

    def test_a_project_without_anything(self, travel):
        travel(NOW)
        project = make_project(time_zone="UTC")
        found = said_of(project)
        assert found == expected(place_of(project), NOW)
        assert found["day"]["start"] == "2031-05-03T00:00:00Z"
        assert found["tasks"] == {"total": 0, "open": 0, "completed": 0, "overdue": 0}
        assert found["by_assignee"] == found["due_next"] == found["most_active"] == []
        assert [day["date"] for day in found["trend"]][::13] == ["2031-04-20", "2031-05-03"]
        assert all(day["complete"] for day in found["trend"])

    def test_of_no_project(self):
        assert summarise([], NOW) == {}


@pytest.mark.django_db
class TestParts:
    @pytest.fixture
    def project(self, travel):
        travel(NOW - 20 * HOUR)  # yesterday at one o'clock
        return make_project(time_zone="UTC")

    def test_the_edges_of_a_day(self, project, travel):
        """Its first instant is in it, the first of the next is not."""
        for at in (
            "2031-05-02T23:59:59.999999Z",
            "2031-05-03T00:00:00Z",
            "2031-05-03T23:59:59.999999Z",
            "2031-05-04T00:00:00Z",
        ):
            travel(dt.datetime.fromisoformat(at))
            make_comment(make_task(project))
        found = said_of(project)
        assert (found["day"]["created"], found["day"]["comments"]) == (2, 2)
        assert [day["created"] for day in found["trend"][-2:]] == [1, 2]

    def test_what_is_due_this_instant_is_not_overdue(self, project):
        make_task(project, due_date=NOW, title="now")
        make_task(project, due_date=NOW - dt.timedelta(microseconds=1), title="late")
        found = said_of(project)
        assert found["tasks"]["overdue"] == 1
        assert [row["title"] for row in found["due_next"]] == ["now"]

    def test_only_the_assignees_who_have_most_are_listed_and_nobody_last(self, project):
        people = sorted(
            (make_user() for _ in range(22)), key=lambda user: str(user.pk) if not isinstance(user.pk, int) else user.pk
        )
        for user in (*people, people[-1], None):
            make_task(project, assignee=user)
        found = said_of(project)["by_assignee"]
        assert [row["user"] for row in found] == [shown(user.pk) for user in (people[-1], *people[:19])]

    def test_however_many_assignees_there_are_only_those_are_read(self, project):
        for _ in range(22):
            make_task(project, assignee=make_user())
        with CaptureQueriesContext(connection) as captured:
            said_of(project)
        [statement] = [query["sql"] for query in captured if '"assignee"' in query["sql"] and "COUNT" in query["sql"]]
        with connection.cursor() as cursor:
            cursor.execute(statement)
            assert len(cursor.fetchall()) == 20

    def test_nobody_comes_after_those_who_have_as_many(self, project):
        user = make_user()
        make_task(project), make_task(project, assignee=user)
        assert [row["user"] for row in said_of(project)["by_assignee"]] == [shown(user.pk), None]

    def test_long_titles_are_kept(self, project):
        title = "𝄞" * 255
        make_task(project, title=title)
        assert said_of(project)["due_next"][0]["title"] == title

    def test_a_task_that_is_made_completed_was_completed_that_day(self, project):
        make_task(project, status="completed")
        found = said_of(project)
        assert found["day"]["completed"] == found["trend"][-1]["completed"] == 1

    def test_a_completed_task_that_comes_from_elsewhere_was_not(self, project, travel):
        other = make_project(time_zone="UTC")
        travel(NOW - 10 * DAY)
        task = make_task(other, status="completed")
        travel(NOW - 20 * HOUR)
        Task.objects.filter(pk=task.pk).update(project=project)
        found = said_of(project)
        assert (found["trend"][-1]["created"], found["trend"][-1]["completed"]) == (1, 0)
        assert (found["day"]["created"], found["day"]["completed"]) == (0, 0)
        assert found["tasks"]["completed"] == 1

    def test_deleted_tasks_leave_the_list_of_the_most_active_to_others(self, project):
        """However many more active ones there were."""
        gone = [make_task(project, title=f"gone {number}") for number in range(30)]
        stayed = [make_task(project, title=f"stayed {number}") for number in range(6)]
        for task in gone:
            make_comment(task), make_comment(task)
        for task in stayed[1:]:
            make_comment(task)
        Task.objects.filter(title__startswith="gone").delete()
        assert [row["title"] for row in said_of(project)["most_active"]] == [f"stayed {n}" for n in range(1, 6)]

    def test_events_of_no_task_that_we_know(self, project):
        """A host may have recorded what it likes."""
        for key in ("x", "", "9" * 30, "-1", "1.5"):
            record_external_change(project.pk, type="task.updated", object_type="task", object_id=key)
        task = make_task(project)
        record_external_change(
            project.pk, type="comment.created", object_type="comment", object_id="c", changes={"task": [None, "x"]}
        )
        assert said_of(project)["most_active"] == [{"id": task.pk, "title": "Dig", "events": 1}]


@pytest.mark.django_db
class TestWhatTheLogDoesNotTell:
    @pytest.fixture
    def project(self, travel):
        travel(NOW - 30 * DAY)
        return make_project(time_zone="UTC")

    def incomplete(self, project):
        return [day["date"] for day in said_of(project)["trend"] if not day["complete"]]

    def test_more_than_a_thousand_rows_by_one_call(self, project, travel):
        travel(NOW - 3 * DAY)
        Task.objects.bulk_create(Task(project=project, title="t") for _ in range(1_001))
        assert Event.objects.filter(type="project.resync").count() == 1
        found = said_of(project)
        assert self.incomplete(project) == ["2031-05-01"]
        assert found["trend"][-3]["created"] == 0
        assert found["tasks"]["total"] == 1_001

    def test_a_thousand_are_told(self, project, travel):
        travel(NOW - 3 * DAY)
        Task.objects.bulk_create(Task(project=project, title="t") for _ in range(1_000))
        assert self.incomplete(project) == []
        assert said_of(project)["trend"][-3]["created"] == 1_000

    def test_a_resync_of_today_or_of_long_ago_is_of_no_day(self, project, travel):
        for at in (NOW, NOW - 15 * DAY):
            travel(at)
            record_external_change(project.pk)
        assert self.incomplete(project) == []

    def test_the_days_before_what_is_kept(self, project, travel):
        for ago in (9, 6, 3):
            travel(NOW - ago * DAY)
            make_task(project)
        prune(project.pk, older_than=NOW - 7 * DAY)
        # The first event that is kept is of 28 April, nine o'clock: that day may have had earlier ones.
        assert self.incomplete(project) == [f"2031-04-{day}" for day in range(20, 29)]

    def test_where_all_is_pruned_nothing_is_known(self, project):
        prune(project.pk, older_than=NOW)
        assert not Event.objects.filter(project_id=project.pk).exists()
        assert len(self.incomplete(project)) == 14

    def test_pruning_one_project_says_nothing_of_another(self, project):
        other = make_project(time_zone="UTC")
        prune(project.pk, older_than=NOW)
        found = summarise([place_of(project), place_of(other)], NOW)
        assert {day["complete"] for day in found[other.pk]["trend"]} == {True}


@pytest.mark.django_db
def test_the_number_of_statements_is_fixed(travel):
    host = Host(5, travel)
    for _ in range(20):
        host.act()

    def statements(projects):
        with CaptureQueriesContext(connection) as captured:
            summarise([place_of(project, host.now) for project in projects], host.now)
        return len(captured)

    few = statements(host.projects)
    for zone in ZONES * 5:
        make_task(make_project(time_zone=zone))
    assert statements(list(Project.objects.all())) == few


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
class TestOneMoment:
    def busy_project(self, travel):
        travel(NOW - 20 * HOUR)
        project = make_project(time_zone="UTC")
        user = make_user()
        for _ in range(3):
            make_comment(make_task(project, assignee=user))
        return project

    def change_everything(self, project):
        make_comment(make_task(project, due_date=NOW + HOUR, priority="urgent"))
        make_task(project, status="completed", title="done")
        project.tasks.order_by("pk").first().delete()
        feed.number(project.pk)
        prune(project.pk, keep=3)

    def test_nothing_that_is_committed_meanwhile_shows(self, travel):
        """Somebody changes all that is counted, before each of the statements in turn."""
        with noted() as statements:
            summarise([place_of(self.busy_project(travel))], NOW)
        statements = statements[[text[:15] for text in statements].index("SET TRANSACTION") :]
        assert "REPEATABLE READ" in statements[0]
        assert len(statements) > 5
        with Session() as other:
            for at in range(2, len(statements)):  # the first statement that reads takes the snapshot
                place = place_of(self.busy_project(travel))
                before = summarise([place], NOW)[place.project_id]
                change = partial(self.change_everything, Project.objects.get(pk=place.project_id))
                with interrupted(at, partial(other.do, change)) as seen:
                    assert summarise([place], NOW)[place.project_id] == before, seen[-1]
                after = summarise([place], NOW)[place.project_id]
                assert [part for part in before if after[part] == before[part]] == []

    def test_it_writes_nothing_and_leaves_the_connection_as_it_was(self, project):
        summarise([place_of(project)], NOW)
        make_task(project)
        assert feed.number(project.pk) == 3
        with connection.cursor() as cursor:
            cursor.execute("SHOW transaction_isolation")
            assert cursor.fetchone() == ("read committed",)


@contextmanager
def noted():
    with interrupted(-1, lambda: None) as statements:
        yield statements
