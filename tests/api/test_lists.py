"""The shape of a list, and its pages: whatever the ordering, each row once and in its place, while others write."""

import base64
import datetime as dt
import json
import random
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_pm.models import Comment, Membership, Priority, Project, Task
from tests.api.support import assert_refused, ids, pages, walk
from tests.factories import make_comment, make_member, make_project, make_task, make_user

pytestmark = pytest.mark.django_db

COLUMNS = ["created_at", "updated_at", "due_date", "priority", "title"]
ORDERINGS = [sign + column for column in COLUMNS for sign in ("", "-")]

NOON = dt.datetime(2030, 5, 1, 12, tzinfo=dt.UTC)


def dice(seed):
    """Chance that falls the same way in every run."""
    return random.Random(seed)  # noqa: S311


def many_tasks(project, number, seed=1):
    """Tasks with few distinct values in every column, so that pages break within runs of equal ones."""
    draw = dice(seed)
    tasks = Task.objects.bulk_create(
        Task(
            project=project,
            title=f"title {draw.randrange(10)}",
            priority=draw.choice([Priority.LOW, Priority.MEDIUM, Priority.HIGH, Priority.URGENT]),
            due_date=draw.choice([None, None, *(NOON + dt.timedelta(days=day) for day in range(4))]),
        )
        for _ in range(number)
    )
    Task.objects.filter(project=project).update(created_at=NOON)
    keys = [task.pk for task in tasks]
    draw.shuffle(keys)
    for day in range(7):
        Task.objects.filter(pk__in=keys[day::7]).update(updated_at=NOON + dt.timedelta(days=day))


def in_order(project, ordering):
    """The ids as the contract orders them: by (column, id), `-` descending both, nulls behind in either direction."""
    column, descending = ordering.removeprefix("-"), ordering.startswith("-")
    rank = list(Priority.values).index if column == "priority" else lambda value: value
    rows = list(Task.objects.filter(project=project).order_by().values_list(column, "pk"))
    filled = sorted(((rank(value), pk) for value, pk in rows if value is not None), reverse=descending)
    empty = sorted((pk for value, pk in rows if value is None), reverse=descending)
    return [pk for _value, pk in filled] + empty


@pytest.fixture
def four_lists(project):
    """The path of each list, with three rows or more in it."""
    task = make_task(project)
    for _ in range(2):
        make_project(project.created_by)
        make_task(project)
    for _ in range(3):
        make_comment(task)
        make_member(project)
    return ["/projects/", "/tasks/", f"/tasks/{task.pk}/comments/", f"/projects/{project.pk}/members/"]


class TestShape:
    def test_the_keys(self, api, four_lists):
        for path in four_lists:
            body = api.get(path).json()
            assert list(body) == ["next", "previous", "results"]
            assert (body["next"], body["previous"]) == (None, None)
            assert api.get(f"{path}?count=false").json() == body
            assert api.get(f"{path}?count=true").json() == {**body, "count": len(body["results"])}

    def test_an_empty_list_is_fine(self, signed_in, api, project):
        empty = {"next": None, "previous": None, "results": []}
        stranger = signed_in(make_user())
        for client, path in ((stranger, "/projects/"), (stranger, "/tasks/"), (api, "/tasks/?status=completed")):
            response = client.get(path)
            assert (response.status_code, response.json()) == (200, empty)
            counted = client.get(path, {"count": "true", "status": "completed"})
            assert (counted.status_code, counted.json()) == (200, {**empty, "count": 0})
        assert api.get(f"/tasks/{make_task(project).pk}/comments/").json() == empty

    def test_the_count_is_of_all_rows_on_every_page_and_follows_the_filters(self, api, project):
        many_tasks(project, 30)
        url = "/tasks/?count=true&page_size=7&priority=high&priority=low"
        expected = Task.objects.filter(priority__in=["high", "low"]).count()
        assert {body["count"] for _url, body in walk(api, url)} == {expected}

    def test_page_sizes(self, api, project):
        many_tasks(project, 210)
        for asked, size in {"": 50, "&page_size=1": 1, "&page_size=200": 200, "&page_size=7": 7}.items():
            assert len(ids(api.get(f"/tasks/?ordering=title{asked}"))) == size
        for larger in ("201", "1000", "99999999999999999999", "9" * 5000):
            assert len(ids(api.get(f"/tasks/?page_size={larger}"))) == 200

    def test_a_page_that_is_just_full_is_the_last(self, api, project):
        many_tasks(project, 4)
        assert api.get("/tasks/?page_size=4").json()["next"] is None
        assert [len(page) for page in pages(api, "/tasks/?page_size=2")] == [2, 2]

    @pytest.mark.parametrize("value", ["0", "-1", "", "x", "1.5", "1e2", "1_0", "\u0663", "0x10", " 5", "\x00", "00"])
    def test_a_bad_page_size(self, api, four_lists, value):
        for path in four_lists:
            assert_refused(api.get(path, {"page_size": value}), "page_size")

    @pytest.mark.parametrize("value", ["", "1", "True", "yes", "\x00"])
    def test_a_bad_count(self, api, four_lists, value):
        for path in four_lists:
            assert_refused(api.get(path, {"count": value}), "count")

    @pytest.mark.parametrize(
        "value", ["x", "-", "--title", "+title", "title,id", "TITLE", "pk", "project__name", "created_by", "\x00", "?"]
    )
    def test_a_bad_ordering(self, api, four_lists, value):
        for path in four_lists:
            assert_refused(api.get(path, {"ordering": value}), "ordering")

    def test_all_that_is_bad_is_named_at_once(self, api):
        query = {"page_size": "x", "count": "x", "ordering": "x"}
        assert_refused(api.get("/tasks/", query), "page_size", "count", "ordering")

    @pytest.mark.parametrize(
        "query", ["colour=red", "page=2", "limit=1", "offset=5", "id=1", "user__password=x", "=", "&"]
    )
    def test_unknown_parameters_are_ignored(self, api, four_lists, query):
        for path in four_lists:
            assert api.get(f"{path}?{query}").content == api.get(path).content

    @pytest.mark.parametrize("query", ["format=csv", "format=json", "format=api", "format="])
    def test_format_is_as_unknown_as_any_other(self, api, project, four_lists, query):
        """REST framework has a parameter of that name, which answers 404 to a format that it does not know."""
        for path in [*four_lists, f"/projects/{project.pk}/"]:
            response = api.get(f"{path}?{query}")
            assert (response.status_code, response.content) == (200, api.get(path).content)

    def test_links_keep_the_rest_of_the_query(self, api, project):
        many_tasks(project, 20)
        query = {"ordering": "-priority", "status": ["pending", "completed"], "page_size": "3", "colour": "r&d ü"}
        following = api.get("/tasks/", query).json()["next"]
        assert following.startswith("http://testserver/tasks/?")
        kept = parse_qs(urlsplit(following).query)
        assert kept.pop("cursor")
        assert kept == {name: value if isinstance(value, list) else [value] for name, value in query.items()}
        assert "cursor" in parse_qs(urlsplit(api.get(following).json()["previous"]).query)


class TestOrder:
    @pytest.mark.parametrize("ordering", ORDERINGS)
    def test_walking_there_and_back(self, api, project, ordering):
        """1,000 tasks, hardly a value that is not shared: pages of 97, forward by `next`, back by `previous`."""
        many_tasks(project, 1000)
        many_tasks(make_project(), 100)  # not to be seen
        expected = in_order(project, ordering)
        forward = []
        for last, body in walk(api, f"/tasks/?page_size=97&ordering={ordering}"):  # noqa: B007
            assert bool(body["previous"]) is bool(forward), "only the first page has none before it"
            forward.append([row["id"] for row in body["results"]])
        assert [pk for page in forward for pk in page] == expected
        assert [len(page) for page in forward] == [97] * 10 + [30]
        assert list(pages(api, last, "previous")) == forward[::-1]

    def test_one_row_a_page(self, api, project):
        many_tasks(project, 12)
        for ordering in ORDERINGS:
            expected = in_order(project, ordering)
            url = f"/tasks/?page_size=1&ordering={ordering}"
            assert [pk for page in pages(api, url) for pk in page] == expected

    @pytest.mark.parametrize("nulls", [0, 5])
    def test_due_dates_all_there_or_all_missing(self, api, project, nulls):
        many_tasks(project, 5)
        Task.objects.update(due_date=None if nulls else NOON)
        for ordering in ("due_date", "-due_date"):
            url = f"/tasks/?page_size=2&ordering={ordering}"
            assert [pk for page in pages(api, url) for pk in page] == in_order(project, ordering)

    def test_texts_as_long_as_they_may_be(self, api, project):
        for number in range(4):
            make_task(project, title="😀" * 254 + str(number))
        url = "/tasks/?ordering=title&page_size=1"
        assert [pk for page in pages(api, url) for pk in page] == in_order(project, "title")

    def test_the_default_is_the_newest_first(self, api, project):
        tasks = [make_task(project, created_at=NOON - dt.timedelta(days=day)).pk for day in (2, 0, 1)]
        assert ids(api.get("/tasks/")) == [tasks[1], tasks[2], tasks[0]]
        assert ids(api.get("/tasks/?ordering=-created_at")) == ids(api.get("/tasks/"))

    def test_priorities_are_ordered_by_rank(self, api, project):
        tasks = {priority: make_task(project, priority=priority).pk for priority in sorted(Priority.values)}
        by_rank = [tasks[priority] for priority in ("none", "low", "medium", "high", "urgent")]
        assert ids(api.get("/tasks/?ordering=priority")) == by_rank
        assert ids(api.get("/tasks/?ordering=-priority")) == by_rank[::-1]

    def test_projects(self, api, owner, project):
        Project.objects.bulk_create(Project(name=f"name {n % 5}") for n in range(40))
        Membership.objects.bulk_create(
            Membership(user=owner, project=new, role="viewer") for new in Project.objects.exclude(pk=project.pk)
        )
        for column in ("name", "created_at", "updated_at"):
            expected = list(Project.objects.order_by(column, "pk").values_list("pk", flat=True))
            for ordering, order in ((column, expected), (f"-{column}", expected[::-1])):
                url = f"/projects/?page_size=7&ordering={ordering}"
                assert [pk for page in pages(api, url) for pk in page] == order
        assert ids(api.get("/projects/")) == ids(api.get("/projects/?ordering=-created_at"))

    def test_comments_are_read_from_the_first_on(self, api, project):
        task = make_task(project)
        Comment.objects.bulk_create(Comment(task=task, author="a", content="c") for _ in range(40))
        Comment.objects.update(created_at=NOON)
        expected = list(Comment.objects.order_by("pk").values_list("pk", flat=True))
        path = f"/tasks/{task.pk}/comments/"
        for query, order in {
            "": expected,
            "&ordering=created_at": expected,
            "&ordering=-created_at": expected[::-1],
        }.items():
            assert [pk for page in pages(api, f"{path}?page_size=7{query}") for pk in page] == order

    def test_members(self, api, project):
        expected = [Membership.objects.get().pk] + [make_member(project).pk for _ in range(8)]
        path = f"/projects/{project.pk}/members/"
        assert [pk for page in pages(api, f"{path}?page_size=4") for pk in page] == expected


class TestStability:
    """Rows that are there throughout come once each; rows that come or go meanwhile come at most once."""

    @pytest.mark.parametrize("ordering", ORDERINGS)
    @pytest.mark.parametrize("way", ["next", "previous"])
    def test_while_rows_come_and_go_between_pages(self, api, project, ordering, way):
        many_tasks(project, 150)
        draw = dice(ordering)
        staying = set(Task.objects.values_list("pk", flat=True))
        url = f"/tasks/?page_size=20&ordering={ordering}"
        if way == "previous":
            # From the row before the last one: `previous` of the page that holds the last one alone.
            *_, (_url, last) = walk(api, f"/tasks/?page_size=149&ordering={ordering}")
            staying -= {row["id"] for row in last["results"]}
            url = last["previous"].replace("page_size=149", "page_size=20")
        seen = []
        for _url, body in walk(api, url, way):
            seen += [row["id"] for row in body["results"]]
            gone = draw.sample(sorted(staying), 4)
            if body["results"]:
                gone.append(body["results"][-1 if way == "next" else 0]["id"])  # where the next page starts
            Task.objects.filter(pk__in=gone).delete()
            staying -= set(gone)
            many_tasks(make_project(), 1)
            for _ in range(4):
                make_task(project, title=f"title {draw.randrange(10)}", due_date=draw.choice([None, NOON]))
        assert len(seen) == len(set(seen)), "none twice"
        assert staying <= set(seen), "none left out"

    @pytest.mark.parametrize("ordering", ["title", "-due_date"])
    def test_a_page_that_has_emptied_leads_back_to_all_before_it(self, api, project, ordering):
        many_tasks(project, 6)
        order = in_order(project, ordering)
        following = api.get(f"/tasks/?page_size=4&ordering={ordering}").json()["next"]
        Task.objects.filter(pk__in=order[4:]).delete()
        body = api.get(following).json()
        assert (body["results"], body["next"]) == ([], None)
        assert [pk for page in pages(api, body["previous"], "previous") for pk in page] == order[:4]

    @pytest.mark.parametrize("ordering", ["title", "-due_date"])
    def test_a_first_page_that_has_emptied_leads_on_to_all_behind_it(self, api, project, ordering):
        many_tasks(project, 6)
        order = in_order(project, ordering)
        following = api.get(f"/tasks/?page_size=2&ordering={ordering}").json()["next"]
        before = api.get(following).json()["previous"]
        Task.objects.filter(pk__in=order[:2]).delete()
        body = api.get(before).json()
        assert (body["results"], body["previous"]) == ([], None)
        assert [pk for page in pages(api, body["next"]) for pk in page] == order[2:]

    def test_what_is_added_behind_the_last_page_is_found_by_asking_again(self, api, project):
        tasks = [make_task(project).pk for _ in range(3)]
        url = "/tasks/?page_size=2&ordering=created_at"
        following = api.get(url).json()["next"]
        tasks.append(make_task(project).pk)
        assert ids(api.get(following)) == tasks[2:]


def cursor_of(*content):
    """A cursor as the list makes them, of whatever content."""
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


class TestCursors:
    @pytest.fixture(autouse=True)
    def some_tasks(self, project):
        many_tasks(project, 5)

    @pytest.mark.parametrize(
        "cursor",
        [
            *("", "x", "null", "1", "[]", "\x00", "\u0663", "é", "=", "====", "%", "a" * 5000),
            *(base64.urlsafe_b64encode(text).decode() for text in (b"", b"x", b"null", b"1", b"[]", b"{}", b'"abcd"')),
            *(
                base64.urlsafe_b64encode(text).decode()
                for text in (b"[1,2,3,4]", b"\xff\xfe", b"[" * 2500, b"9" * 3000)
            ),
            cursor_of("title", True, "title 1"),
            cursor_of("title", True, "title 1", "1", "2"),
            cursor_of("title", "true", "title 1", "1"),
            cursor_of("title", 1, "title 1", "1"),
            cursor_of("title", None, "title 1", "1"),
            cursor_of(["title"], True, "title 1", "1"),
            cursor_of({"a": 1}, True, "title 1", "1"),
            *(
                cursor_of("title", True, value, "1")
                for value in (None, 1, 1.5, True, [], {}, "\x00", "\ud800", "x" * 256)
            ),
            *(cursor_of("title", True, "t", pk) for pk in (None, 1, 1.5, True, [], {}, "", "x", "\x00", "\ud800")),
            *(cursor_of("title", True, "t", pk) for pk in (str(2**63), str(-(2**70)), "9" * 3000, "NaN", "1.5", "1e5")),
        ],
    )
    def test_garbage_is_refused_by_name(self, api, cursor):
        assert_refused(api.get("/tasks/", {"ordering": "title", "cursor": cursor}), "cursor")

    @pytest.mark.parametrize("column", [column for column in COLUMNS if column != "title"])  # any text is a title
    @pytest.mark.parametrize("value", ["", "x", "title", "lost", "2030-02-30", "2030-13-01T00:00:00Z", 5, [], {}])
    def test_a_value_that_the_column_cannot_hold(self, api, column, value):
        cursor = cursor_of(column, True, value, "1")
        assert_refused(api.get("/tasks/", {"ordering": column, "cursor": cursor}), "cursor")

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize(
        "value",
        [
            "0001-01-01T00:00:00+23:00",
            "9999-12-31T23:59:59-23:00",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "0001-01-01T00:00:00",
            "2030-05-01T12:00:00",
            "2030-05-01T12:00:00+20:00",
            "2030-05-01T12:00:00-00:00:01",
            "2030-05-01",
            "2030-W18-3",
            "12000-01-01T00:00:00Z",
        ],
    )
    def test_instants_at_the_edge(self, api, value):
        """A position may lie far out, or be no position: an answer either way, and no warning of a naive instant."""
        for column in ("created_at", "updated_at", "due_date"):
            for forward in (True, False):
                response = api.get("/tasks/", {"ordering": column, "cursor": cursor_of(column, forward, value, "1")})
                if response.status_code != 200:
                    assert_refused(response, "cursor")

    def test_random_bytes(self, api):
        draw = dice(20)
        for size in (*range(1, 30), 500, 3000):
            raw = draw.randbytes(size)
            for text in (raw.hex(), base64.urlsafe_b64encode(raw).decode(), raw.decode("latin-1")):
                assert_refused(api.get("/tasks/", {"cursor": text}), "cursor")

    def test_a_real_one_with_a_bit_flipped(self, api):
        """Some of these are cursors still. Each is answered with a page or named."""
        real = parse_qs(urlsplit(api.get("/tasks/?page_size=1").json()["next"]).query)["cursor"][0].encode()
        for position in range(len(real)):
            for bit in (0, 3):
                forged = bytearray(real)
                forged[position] ^= 1 << bit
                response = api.get("/tasks/", {"cursor": bytes(forged)})
                if response.status_code != 200:
                    assert_refused(response, "cursor")

    @pytest.mark.parametrize("other", [ordering for ordering in ORDERINGS if ordering != "title"])
    def test_one_of_another_ordering(self, api, other):
        following = api.get("/tasks/?page_size=1&ordering=title").json()["next"]
        assert_refused(api.get(following.replace("ordering=title", f"ordering={other}")), "cursor")
        assert_refused(api.get(following.replace("ordering=title", "")), "cursor")

    def test_one_of_another_list(self, api, project):
        make_member(project)
        following = api.get(f"/projects/{project.pk}/members/?page_size=1").json()["next"]
        assert_refused(api.get(f"/tasks/?{urlsplit(following).query}"), "cursor")

    def test_one_that_comes_twice_counts_as_its_last(self, api):
        good = urlsplit(api.get("/tasks/?page_size=1").json()["next"]).query
        assert api.get(f"/tasks/?cursor=x&{good}").status_code == 200
        assert_refused(api.get(f"/tasks/?{good}&cursor=x"), "cursor")


class TestQueries:
    """A list costs the same few statements, however many rows it has."""

    LISTS = {
        "projects": "/projects/?page_size=200&ordering=-created_at",
        "tasks": "/tasks/?page_size=200&ordering=due_date",
        "comments": "/tasks/{task}/comments/?page_size=200",
        "members": "/projects/{project}/members/?page_size=200",
    }

    @staticmethod
    def grow(project, task, owner, number):
        """Every list gets `number` more rows, each with relations of its own to stumble over."""
        users = [make_user() for _ in range(number)]
        Membership.objects.bulk_create(Membership(project=project, user=user, role="member") for user in users)
        Comment.objects.bulk_create(Comment(task=task, user=user, author="a", content="c") for user in users)
        new = Project.objects.bulk_create(Project(name="n", created_by=user) for user in users)
        Membership.objects.bulk_create(Membership(project=one, user=owner, role="viewer") for one in new)
        tasks = Task.objects.bulk_create(
            Task(project=one, title="t", assignee=user, created_by=user, due_date=timezone.now())
            for one, user in zip(new, users, strict=True)
        )
        Comment.objects.bulk_create(Comment(task=one, author="a", content="c") for one in tasks)

    @pytest.mark.parametrize("name", LISTS)
    @pytest.mark.parametrize("query", ["", "&count=true"])
    @pytest.mark.parametrize("who", ["member", "superuser"])
    def test_one_row_or_a_hundred(self, api, owner, project, name, query, who):
        owner.is_superuser = who == "superuser"
        owner.save()
        task = make_task(project)
        make_comment(task)
        url = self.LISTS[name].format(task=task.pk, project=project.pk) + query
        counted = []
        for rows in (1, 100):
            with CaptureQueriesContext(connection) as queries:
                assert len(ids(api.get(url))) == rows
            counted.append(len(queries))
            self.grow(project, task, owner, 99)
        assert counted[0] == counted[1]
        # Session, user, (parent,) rows, (the tasks without due date,) (count): nothing else.
        assert counted[1] <= 4 + bool(query)

    def test_a_page_in_the_middle_costs_what_the_first_does(self, api, project):
        many_tasks(project, 60)
        first = "/tasks/?page_size=20&ordering=title"
        counted = []
        for url in (first, api.get(first).json()["next"]):
            with CaptureQueriesContext(connection) as queries:
                api.get(url)
            counted.append(len(queries))
        assert counted[0] == counted[1]
