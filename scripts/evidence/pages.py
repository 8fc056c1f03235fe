"""The pages of the demo, as Chromium shows them."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from scripts.evidence.files import place
from tests.browser.conftest import CHROMIUM, PATIENCE
from tests.example.site import LIVE_SERVER, Site, free_port

WIDTH, HEIGHT = 1000, 760
# One project more, which has a past, so that a report of it is due and has something to tell.
SEED = ["pm_seed", "--projects", "1", "--tasks", "60", "--comments", "60", "--users", "5", "--user", "ana"]
OWN = [
    "shell",
    "-v",
    "0",
    "-c",
    "from django_pm.models import Membership as M; M.objects.filter(user=1).update(role='owner')",
]


def capture() -> None:
    """Serve the demo as `make demo` does, with its mail sent, and take the pictures."""
    if not CHROMIUM:
        raise SystemExit("No Chromium here. On Debian: apt-get install chromium; elsewhere say where by PM_CHROMIUM.")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = Site(Path(folder), SITE_URL=f"http://127.0.0.1:{port}")
        for command in (["migrate", "--verbosity", "0"], ["demo_seed"], SEED, OWN):
            site.must_manage(*command)
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=os.geteuid() != 0)
        with site.served(*LIVE_SERVER, port=port):
            asked = site.browser().ask
            asked("/notification-preferences/", user="ana", method="PATCH", json_body={"reports": True})
            site.must_manage("pm_send_reports")
            site.must_manage("pm_send_reminders")
            page = chromium.new_context(viewport={"width": WIDTH, "height": HEIGHT}).new_page()
            page.set_default_timeout(PATIENCE)
            page.goto(f"{site.url}/accounts/login/")
            page.get_by_label("Login").fill("ana")
            page.get_by_label("Password").fill("demo")
            page.get_by_role("main").get_by_role("button", name="Sign in").click()
            for show in (api_docs, admin, reminder, report):
                show(page, site)
            live(page, site, asked)
        chromium.close()


def shoot(page: Page, name: str, *, width: int = WIDTH, height: int = HEIGHT, whole: bool = False) -> None:
    """What is in a window of this size, or, if `whole`, can be scrolled to."""
    path = place(name)
    page.set_viewport_size({"width": width, "height": height})
    page.screenshot(path=path, animations="disabled", full_page=whole)
    print(f"docs/evidence/{name}: {path.stat().st_size // 1024} KiB", flush=True)


def api_docs(page: Page, site: Site) -> None:
    """The page of the API, with a request that has been tried out."""
    page.goto(f"{site.url}/docs/#/projects/projects_retrieve")
    operation = page.locator("#operations-projects-projects_retrieve")
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_placeholder("id").fill("1")
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text("task_count")
    operation.evaluate("(each) => each.scrollIntoView()")
    shoot(page, "api-docs.png", height=1000)


def admin(page: Page, site: Site) -> None:
    """The tasks, in Django's admin."""
    page.goto(f"{site.url}/admin/django_pm/task/")
    shoot(page, "admin.png", width=1280)


def letter(page: Page, site: Site, subject: str) -> None:
    """The newest mail with such a subject."""
    page.goto(f"{site.url}/mailbox/")
    page.get_by_role("table").get_by_role("link", name=subject).first.click()
    expect(page.frame_locator("iframe").get_by_role("heading").first).to_be_visible()


def reminder(page: Page, site: Site) -> None:
    """A reminder, in the demo's mailbox."""
    letter(page, site, "Due soon:")
    shoot(page, "reminder.png", height=860)


def report(page: Page, site: Site) -> None:
    """A daily report, as a mail program would show it."""
    letter(page, site, "report of")
    html = page.locator("iframe").get_attribute("srcdoc") or ""
    page.goto("about:blank")
    page.set_content(html)
    shoot(page, "report.png", width=680, whole=True)


def live(page: Page, site: Site, asked: Callable[..., Any]) -> None:
    """What happens while somebody looks."""
    page.goto(f"{site.url}/live/")
    expect(page.get_by_role("status")).to_have_attribute("data-state", "live")
    project = asked("/projects/", user="ben").json["results"][0]["id"]
    body = {"project": project, "title": "Book the tent", "due_date": "2031-06-01T12:00:00Z", "priority": "high"}
    task = asked("/tasks/", user="ana", json_body=body).json["id"]
    asked(f"/tasks/{task}/comments/", user="ben", json_body={"content": "The one from last year?"})
    asked(f"/tasks/{task}/", user="ana", method="PATCH", json_body={"status": "completed"})
    expect(page.locator("#events li")).to_have_count(3)
    shoot(page, "live.png", height=520)
