"""`/projects/<id>/reports/`: viewers read, members have today's made, managers have it made anew."""

import datetime as dt
import json

import pytest

from django_pm.models import Event, Mail, Project, Report, Role
from django_pm.services.reports import make_due, make_today
from tests.api.support import as_token, assert_refused, pages, send
from tests.factories import make_member, make_project, make_superuser, make_task, make_token, make_user

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2031, 5, 4, 9, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
TODAY = "2031-05-04"


@pytest.fixture(autouse=True)
def _now(time_machine):
    time_machine.move_to(NOW, tick=False)


@pytest.fixture
def project(owner):
    project = make_project(owner, time_zone="UTC")
    make_task(project)
    return project


@pytest.fixture
def url(project):
    return f"/projects/{project.pk}/reports/"


@pytest.fixture
def of_role(signed_in, project):
    """`of_role("viewer")`: a client of somebody who is that in the project."""
    return lambda role: signed_in(make_member(project, role=role).user)


def make(client, url, **body):
    return send(client, "POST", url, body)


class TestReading:
    def test_the_list_has_the_latest_first(self, api, url, project):
        for number in (3, 1, 5, 2, 4):
            Report.objects.create(project=project, date=dt.date(2031, 1, number))
        dates = [row["date"] for row in api.get(url).json()["results"]]
        assert dates == [f"2031-01-0{number}" for number in (5, 4, 3, 2, 1)]

    def test_in_pages(self, api, url, project):
        reports = [Report.objects.create(project=project, date=dt.date(2031, 1, 1) + n * DAY) for n in range(7)]
        assert list(pages(api, f"{url}?page_size=3")) == [
            [report.pk for report in page] for page in (reports[:3:-1], reports[3:0:-1], reports[:1])
        ]
        assert api.get(f"{url}?page_size=1&count=true").json()["count"] == 7

    def test_a_list_has_one_projects_alone(self, api, url, project, owner):
        make_today(actor=None, project=make_project(owner))
        assert api.get(url).json() == {"next": None, "previous": None, "results": []}

    def test_what_is_listed_is_what_is_shown(self, api, url):
        make(api, url)
        [listed] = api.get(url).json()["results"]
        assert api.get(f"{url}{TODAY}/").json() == listed

    def test_the_number_of_statements_does_not_depend_on_the_reports(
        self, api, url, project, django_assert_num_queries
    ):
        make(api, url)
        api.get(url)
        with django_assert_num_queries(4):
            api.get(url)
        for number in range(100):
            Report.objects.create(project=project, date=dt.date(2031, 1, 1) + number * DAY, data={})
        with django_assert_num_queries(4):
            assert len(api.get(f"{url}?page_size=200").json()["results"]) == 101

    @pytest.mark.parametrize(
        "date",
        [
            "2031-5-4",
            "20310504",
            "2031-W18-7",
            "2031-05-04T00:00:00",
            "２０３１-０５-０４",  # noqa: RUF001
            "٢٠٣١-٠٥-٠٤",  # noqa: RUF001
            "2031-05-32",
            "0000-00-00",
            "99999-01-01",
            "-2031-05-04",
            " 2031-05-04",
            "2031-05-04%00",
            "today",
            "1",
            "2031-05-03",
        ],
    )
    def test_what_is_no_date_of_a_report_is_not_found(self, api, url, date):
        make(api, url)
        answer = api.get(f"{url}{date}/")
        assert answer.status_code == 404
        assert answer.json() == api.get(f"{url}2001-01-01/").json()

    def test_what_is_unchanged_is_not_sent_again(self, api, url, project):
        made = make(api, url)
        again = api.get(f"{url}{TODAY}/", HTTP_IF_NONE_MATCH=made.headers["ETag"])
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == made.headers["ETag"]
        assert api.get(f"{url}{TODAY}/").headers["ETag"] == made.headers["ETag"]
        make_task(project)  # the report is what it was
        assert api.get(f"{url}{TODAY}/", HTTP_IF_NONE_MATCH=made.headers["ETag"]).status_code == 304
        make(api, url, force=True)
        assert api.get(f"{url}{TODAY}/", HTTP_IF_NONE_MATCH=made.headers["ETag"]).status_code == 200

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
    def test_nobody_writes_one(self, api, url, method):
        make(api, url)
        assert send(api, method, f"{url}{TODAY}/", {"note": "x"}).status_code == 405
        assert send(api, method, url, {}).status_code == 405

    def test_what_the_host_has_made_is_what_is_shown(self, api, url, project):
        report, _new = make_today(actor=None, project=project)
        shown = api.get(f"{url}{TODAY}/").json()
        assert shown["data"] == json.loads(json.dumps(report.data))
        assert (shown["id"], shown["project"], shown["time_zone"]) == (report.pk, project.pk, "UTC")
        assert (shown["date"], shown["generated_at"], shown["note"]) == (TODAY, "2031-05-04T09:00:00Z", "")
        assert make(api, url).json() == shown

    def test_what_is_due_is_what_is_shown(self, api, url, project):
        Project.objects.update(created_at=NOW - 9 * DAY, time_zone="Moon/Base")
        assert make_due() == 1
        [shown] = api.get(url).json()["results"]
        assert "Moon/Base" in shown["note"]
        assert shown["time_zone"] == "UTC"
        assert make(api, url).status_code == 200


class TestMaking:
    def test_once_and_then_what_is_there(self, api, url, time_machine):
        made = make(api, url)
        assert made.status_code == 201
        assert made.json()["date"] == TODAY
        assert made.json()["data"]["tasks"]["total"] == 1
        time_machine.move_to(NOW + dt.timedelta(hours=3), tick=False)
        again = make(api, url)
        assert again.status_code == 200
        assert again.json() == made.json()
        assert again.headers["ETag"] == made.headers["ETag"]
        assert Report.objects.count() == 1

    def test_the_date_is_that_of_the_project(self, api, owner):
        for zone, date in [("Pacific/Kiritimati", "2031-05-04"), ("Etc/GMT+12", "2031-05-03")]:
            project = make_project(owner, time_zone=zone)
            made = make(api, f"/projects/{project.pk}/reports/").json()
            assert (made["date"], made["time_zone"]) == (date, zone)

    def test_it_is_told_who_had_it_made(self, api, url, owner):
        make(api, url)
        event = Event.objects.get(type="report.generated")
        assert (event.actor_id, event.origin) == (str(owner.pk), "api")

    @pytest.mark.parametrize("role", [Role.MANAGER, Role.OWNER])
    def test_a_manager_has_it_made_anew(self, url, of_role, project, time_machine, role):
        client = of_role(role)
        before = make(client, url)
        make_task(project)
        time_machine.move_to(NOW + dt.timedelta(minutes=1), tick=False)
        after = make(client, url, force=True)
        assert after.status_code == 200
        assert after.json()["id"] == before.json()["id"]
        assert after.json()["data"]["tasks"]["total"] == 2
        assert after.json()["generated_at"] == "2031-05-04T09:01:00Z" > before.json()["generated_at"]
        assert after.headers["ETag"] != before.headers["ETag"]
        assert client.get(f"{url}{TODAY}/").json() == after.json()
        assert client.get(f"{url}{TODAY}/").headers["ETag"] == after.headers["ETag"]

    def test_with_force_the_first_is_new_too(self, api, url):
        assert make(api, url, force=True).status_code == 201
        assert Event.objects.filter(type="report.generated").count() == 1

    def test_not_forced_is_as_if_nothing_was_said(self, of_role, url):
        assert make(of_role(Role.MEMBER), url, force=False).status_code == 201

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({"force": "perhaps"}, ["force"]),
            ({"force": None}, ["force"]),
            ({"force": [True]}, ["force"]),
            ({"force": 2}, ["force"]),
            ({"colour": "red"}, ["colour"]),
            ({"colour": "red", "force": {}}, ["colour", "force"]),
        ],
    )
    def test_what_cannot_be_is_named_and_makes_nothing(self, api, url, body, fields):
        assert_refused(send(api, "POST", url, body), *fields)
        assert not Report.objects.exists()

    @pytest.mark.parametrize("body", [[], "x", 1, True])
    def test_what_is_no_object_makes_nothing(self, api, url, body):
        assert send(api, "POST", url, body).status_code == 400
        assert not Report.objects.exists()

    def test_what_is_only_read_is_ignored(self, api, url):
        made = make(api, url, date="2001-01-01", project=987654, data={"tasks": 0}, note="mine")
        assert made.status_code == 201
        assert (made.json()["date"], made.json()["note"]) == (TODAY, "")
        assert make(api, url, **made.json()).status_code == 200

    def test_its_zone_is_not_known(self, api, url, project):
        Project.objects.update(time_zone="Moon/Base")
        made = make(api, url)
        assert made.status_code == 201
        assert "Moon/Base" in made.json()["note"]

    def test_it_queues_mail_for_whoever_asked(self, api, url):
        send(api, "PATCH", "/notification-preferences/", {"reports": True})
        make(api, url)
        make(api, url, force=True)
        assert Mail.objects.count() == 1


class TestWhoMay:
    @pytest.mark.parametrize(
        ("role", "reads", "makes", "forces"),
        [
            (Role.VIEWER, 200, 403, 403),
            (Role.MEMBER, 200, 201, 403),
            (Role.MANAGER, 200, 201, 200),
            (Role.OWNER, 200, 201, 200),
        ],
    )
    def test_of_each_role(self, of_role, url, role, reads, makes, forces):
        client = of_role(role)
        assert client.get(url).status_code == reads
        assert make(client, url).status_code == makes
        assert make(client, url, force=True).status_code == forces
        if makes == 201:
            assert client.get(f"{url}{TODAY}/").status_code == 200

    def test_a_refusal_makes_nothing(self, of_role, url):
        assert make(of_role(Role.VIEWER), url).status_code == 403
        assert make(of_role(Role.MEMBER), url, force=True).status_code == 403
        assert not Report.objects.exists()
        assert not Event.objects.filter(type="report.generated").exists()

    def test_a_refusal_leaves_the_report_as_it_is(self, api, of_role, url):
        before = make(api, url)
        assert make(of_role(Role.MEMBER), url, force=True).status_code == 403
        assert api.get(f"{url}{TODAY}/").headers["ETag"] == before.headers["ETag"]

    def test_for_a_stranger_there_is_nothing(self, api, signed_in, url):
        make(api, url)
        stranger, missing = signed_in(make_user()), "/projects/987654/reports/"
        for path in ("", f"{TODAY}/"):
            hidden = stranger.get(url + path)
            assert (hidden.status_code, hidden.json()) == (404, stranger.get(missing + path).json())
        for body in ({}, {"force": True}, {"colour": "red"}):
            hidden = make(stranger, url, **body)
            assert (hidden.status_code, hidden.json()) == (404, make(stranger, missing, **body).json())
        assert Report.objects.count() == 1

    def test_nobody_signed_in(self, anonymous, url):
        for answer in (anonymous.get(url), anonymous.get(f"{url}{TODAY}/"), make(anonymous, url)):
            assert answer.status_code in {401, 403}
        assert not Report.objects.exists()

    def test_a_superuser_may_all(self, signed_in, url):
        client = signed_in(make_superuser())
        assert [make(client, url).status_code, make(client, url, force=True).status_code] == [201, 200]

    def test_a_token_that_may_only_read(self, url, owner, api):
        reader = as_token(make_token(owner, scope="read"))
        assert make(reader, url).status_code == 403
        make(api, url)
        assert reader.get(f"{url}{TODAY}/").status_code == 200
        assert make(reader, url, force=True).status_code == 403

    def test_a_token_for_other_projects(self, url, owner):
        elsewhere = as_token(make_token(owner, [make_project(owner)]))
        assert elsewhere.get(url).status_code == 404
        assert make(elsewhere, url).status_code == 404

    def test_who_is_removed_sees_none_any_more(self, signed_in, url, project, api):
        member = make_member(project)
        client = signed_in(member.user)
        make(client, url)
        member.delete()
        assert client.get(f"{url}{TODAY}/").status_code == 404
        assert api.get(f"{url}{TODAY}/").status_code == 200
