"""The demo does what it says: what it prints works, what it links to is there, what was changed stays."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.example.site import Browser, Site

PEOPLE = ["ana", "mo", "ben", "vera", "omar"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A migrated, seeded and running demo."""
    site = Site(tmp_path_factory.mktemp("demo"))
    site.must_manage("migrate", "--verbosity", "0")
    site.must_manage("demo_seed")
    with site.served():
        yield site


@pytest.fixture
def browser(site: Site) -> Browser:
    """A browser that nobody has signed in with yet."""
    return site.browser()


def everything(browser: Browser, path: str, user: str = "ana") -> list[dict[str, Any]]:
    """All rows of a list, page after page."""
    rows: list[dict[str, Any]] = []
    following: str | None = path
    while following:
        page = browser.ask(following, user=user)
        assert page.status == 200, page.text
        rows += page.json["results"]
        following = page.json["next"] and page.json["next"].removeprefix(browser.base_url)
    return rows


def sign_in(browser: Browser, path: str, user: str) -> None:
    """Sign in on one of the site's login pages."""
    browser.ask(path)  # brings the CSRF cookie
    answer = browser.ask(path, form={"username": user, "password": "demo"})
    assert answer.status == 200
    assert any(cookie.name == "sessionid" for cookie in browser.cookies), answer.text


def printed_commands(site: Site) -> list[str]:
    """The commands that `make demo` prints, each as its line."""
    printed = site.must_manage("demo_guide", "--url", site.url)
    return [line.strip() for line in printed.splitlines() if line.strip().startswith("curl ")]


def run_as_printed(command: str, site: Site) -> Any:
    """What a shell makes of the line."""
    if not (shutil.which("curl") and shutil.which("bash")):
        if os.environ.get("PM_REQUIRE_SERVICES") == "1":
            pytest.fail("curl and bash are needed and one of them is missing")
        pytest.skip("needs curl and bash")
    done = subprocess.run(
        ["bash", "-c", command], env=site.environment(), capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_printed_commands_work_as_they_stand(site: Site, browser: Browser) -> None:
    listing, adding, commenting = printed_commands(site)
    assert all(command.startswith("curl -u ben:demo ") for command in (listing, adding, commenting))

    overdue = run_as_printed(listing, site)["results"]
    assert overdue
    now = datetime.now(UTC)
    due_dates = [datetime.fromisoformat(task["due_date"]) for task in overdue]
    assert due_dates == sorted(due_dates)
    assert max(due_dates) < now
    assert {task["status"] for task in overdue} <= {"pending", "in_progress"}

    task = run_as_printed(adding, site)
    assert now < datetime.fromisoformat(task["due_date"]) < now + timedelta(days=7)
    assert browser.ask(f"/tasks/{task['id']}/", user="ben").json["title"] == task["title"]

    comment = run_as_printed(commenting, site)
    assert comment["author"] == "Ben Fischer"
    assert comment["id"] in [row["id"] for row in everything(browser, f"/tasks/{comment['task']}/comments/")]


def test_the_content_is_about_now(browser: Browser) -> None:
    now = datetime.now(UTC)
    projects = everything(browser, "/projects/")
    tasks = everything(browser, "/tasks/")
    assert len(projects) == 3
    assert 55 <= len(tasks) <= 70

    open_tasks = [task for task in tasks if task["status"] != "completed"]
    distances = [datetime.fromisoformat(task["due_date"]) - now for task in open_tasks]
    today = [distance for distance in distances if timedelta(0) < distance < timedelta(days=1)]
    assert sum(distance < timedelta(0) for distance in distances) >= 5
    assert len(today) >= 5
    assert sum(distance > timedelta(days=7) for distance in distances) >= 5
    for task in tasks:
        assert datetime.fromisoformat(task["created_at"]) < now, task
        assert (task["completed_at"] is not None) == (task["status"] == "completed"), task
    assert sum(task["comment_count"] for task in tasks) >= 40


def test_every_role_is_there_and_counts(browser: Browser) -> None:
    projects = everything(browser, "/projects/")
    roles = {
        member["role"] for project in projects for member in everything(browser, f"/projects/{project['id']}/members/")
    }
    assert roles == {"viewer", "member", "manager", "owner"}

    task = {"project": projects[0]["id"], "title": "From a viewer", "due_date": "2030-01-01T00:00:00Z"}
    assert browser.ask("/tasks/", user="vera", json_body=task).status == 403
    hidden = next(project for project in projects if project["name"] == "Mobile app 2.0")
    assert browser.ask(f"/projects/{hidden['id']}/", user="omar").status == 404
    assert hidden["id"] not in [project["id"] for project in everything(browser, "/projects/", user="omar")]


def test_the_pages_are_there_and_need_nothing_from_elsewhere(browser: Browser) -> None:
    for path in ("/", "/docs/", "/admin/login/", "/accounts/login/"):
        page = browser.ask(path)
        assert page.status == 200, path
        assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page.text), path
    assert browser.ask("/schema/").status == 200
    home = browser.ask("/").text
    assert all(f"<code>{name}</code>" in home for name in PEOPLE)
    for link in re.findall(r'href="(/[^"]*)"', home):
        assert browser.ask(link, user="ben").status == 200, link
    assert home.count("curl -u ben:demo") == 3


@pytest.mark.parametrize("path", ["/docs/", "/live/"])
def test_the_scripts_and_styles_of_a_page_are_served(browser: Browser, path: str) -> None:
    sign_in(browser, "/accounts/login/", "ben")
    page = browser.ask(path).text
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page)
    files = re.findall(r"""(?:src|href)=["'](/[^"']+)["']""", page)
    assert any(file.endswith(".js") for file in files)
    for file in files:
        assert browser.ask(file).status == 200, file


def test_live_is_for_those_who_signed_in(browser: Browser) -> None:
    assert "Sign in" in browser.ask("/live/").text


def test_without_credentials_the_api_says_how_to_sign_in(browser: Browser) -> None:
    answer = browser.ask("/tasks/")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_a_token_opens_the_api(browser: Browser) -> None:
    answer = browser.ask("/auth/token/", json_body={"username": "ben", "password": "demo"})
    assert answer.status == 200, answer.text
    assert browser.ask("/projects/", token=answer.json["token"]).json["results"]
    assert browser.ask("/auth/token/", json_body={"username": "ben", "password": "no"}).status == 400


def test_a_session_opens_the_api_and_ends(browser: Browser) -> None:
    sign_in(browser, "/accounts/login/", "mo")
    assert browser.ask("/projects/").status == 200
    browser.ask("/accounts/logout/", form={})
    assert browser.ask("/projects/").status == 401


def test_the_admin_shows_every_table(browser: Browser) -> None:
    sign_in(browser, "/admin/login/", "ana")
    index = browser.ask("/admin/")
    for table in ("project", "task", "comment", "membership"):
        assert f"/admin/django_pm/{table}/" in index.text
        rows = browser.ask(f"/admin/django_pm/{table}/")
        assert rows.status == 200
        first = re.search(rf"/admin/django_pm/{table}/\d+/change/", rows.text)
        assert first, table
        assert browser.ask(first.group()).status == 200
    for path in ("/admin/accounts/user/", "/admin/worklog/taskdetails/"):
        assert browser.ask(path).status == 200, path


def test_a_task_goes_with_the_details_that_the_site_keeps_about_it(site: Site, browser: Browser) -> None:
    shell = "from worklog.models import TaskDetails as Details; "
    task = site.must_manage("shell", "-v0", "-c", shell + "print(Details.objects.first().pk)").strip()
    assert browser.ask(f"/tasks/{task}/", user="ana", method="DELETE").status == 204
    left = site.must_manage("shell", "-v0", "-c", shell + f"print(Details.objects.filter(pk={task}).count())")
    assert left.strip() == "0"


def test_seeding_again_keeps_the_data(site: Site, browser: Browser) -> None:
    project = everything(browser, "/projects/")[0]["id"]
    own = {"project": project, "title": "Something of my own", "due_date": "2030-01-01T00:00:00Z"}
    assert browser.ask("/tasks/", user="ana", json_body=own).status == 201
    before = [task["id"] for task in everything(browser, "/tasks/")]
    assert "Kept" in site.must_manage("demo_seed")
    assert [task["id"] for task in everything(browser, "/tasks/")] == before


def test_the_guide_offers_only_what_is_there(tmp_path: Any) -> None:
    site = Site(tmp_path)
    site.must_manage("migrate", "--verbosity", "0")
    empty = site.manage("demo_guide")
    assert empty.returncode != 0
    assert "demo_seed" in empty.stderr
    site.must_manage("demo_seed")
    site.must_manage("shell", "-c", "from django_pm.models import Project; Project.objects.all().delete()")
    assert len(printed_commands(site)) == 1


def test_outside_the_demo_nothing_of_it_opens_a_door(site: Site) -> None:
    refused = site.manage("demo_seed", PM_DEMO="0")
    assert refused.returncode != 0
    assert "PM_DEMO=1" in refused.stderr
    assert "Traceback" not in refused.stderr
    # The same data, served without PM_DEMO: the known password must not work, and the page must not name anybody.
    probe = (
        "from django.contrib.auth import authenticate;"
        "from django.test import Client;"
        "page = Client().get('/', headers={'host': 'localhost'});"
        "print('account:', authenticate(username='ana', password='demo'));"
        "print('page:', page.status_code, b'vera' in page.content)"
    )
    printed = site.must_manage("shell", "-c", probe, PM_DEMO="0")
    assert "account: None" in printed
    assert "page: 200 False" in printed


def test_the_checks_find_nothing(site: Site) -> None:
    site.must_manage("check", "--fail-level", "WARNING")
    site.must_manage("makemigrations", "--check", "--dry-run")
    site.must_manage("check", "--fail-level", "WARNING", PM_DEMO="0")


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"PM_DEMO": "0", "DATABASE_URL": "postgres://nobody@localhost/none"}, "SECRET_KEY must be set"),
        ({"DEBUG": "maybe"}, "DEBUG must be 1 or 0"),
        ({"PROXIES": "one"}, "PROXIES must be a whole number"),
    ],
)
def test_settings_that_cannot_work_are_named(site: Site, variables: dict[str, str], complaint: str) -> None:
    done = site.manage("check", **variables)
    assert done.returncode != 0
    assert complaint in done.stderr
