"""The page /live/ of the example site, with pm-client.js at work against the real server."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Watched
from tests.example.site import LIVE_SERVER, Site

# Where WebSockets do not get through: nothing listens on port 1. `window.blocked` says whether that is so.
BLOCK = """
  window.blocked = true;
  window.WebSocket = class extends WebSocket {
    constructor(url) { super(window.blocked ? `ws://${location.host}/blocked/` : url); }
  };
"""
FAILED_SOCKET = r"^WebSocket connection to .* failed"
FAILED_REQUEST = r"^Failed to load resource: net::ERR_CONNECTION_REFUSED"


@pytest.fixture
def live(project: Any, sign_in: Callable[[str], Page], site: Site) -> Page:
    """/live/ as ben sees it, connected."""
    page = sign_in("ben")
    page.goto(f"{site.url}/live/")
    in_state(page, "live")
    return page


def in_state(page: Page, state: str) -> None:
    expect(page.get_by_role("status")).to_have_attribute("data-state", state)


def lines(page: Page) -> list[str]:
    """What the list says, the newest last, without the times."""
    return page.locator("#events .what").all_inner_texts()[::-1]


def expect_lines(page: Page, count: int) -> None:
    expect(page.locator("#events li")).to_have_count(count)


def hurry(page: Page, condition: Callable[[], Any]) -> None:
    """Let the page's clock run faster until `condition` is true; requests take the time they take."""
    for _ in range(200):
        if condition():
            return
        page.clock.run_for(500)
        page.wait_for_timeout(50)
    raise AssertionError("It did not happen.")


def test_what_others_do_appears_as_text(live, add_task, ask):
    title = "<img src=x onerror=\"document.title='owned'\"> <b>prune</b>"
    task = add_task(title)
    ask("PATCH", f"/tasks/{task['id']}/", {"status": "in_progress"})
    ask("POST", f"/tasks/{task['id']}/comments/", {"content": "<script>document.title='owned'</script>"})
    expect_lines(live, 3)
    added, changed, commented = lines(live)
    assert added == f"Ana Torres added the task {title} in Orchard"
    assert changed.split("\n") == [
        f"Ana Torres changed the task {title} in Orchard",
        "status: pending → in_progress",
    ]
    assert commented.endswith("<script>document.title='owned'</script>")
    assert live.locator("#events img, #events script").count() == 0
    assert live.title() == "Live"


def test_what_one_is_told_of_alone(live, site, project, ask):
    site.must_manage("pm_relay_events")
    ask("POST", "/notifications/read-all/", {"up_to": 2**63 - 1}, user="ben")
    members = ask("GET", f"/projects/{project['id']}/members/")["results"]
    [ben] = [member["user"] for member in members if member["role"] == "member"]
    title = "<b>Prune</b>"
    body = {"project": project["id"], "title": title, "due_date": "2031-01-01T00:00:00Z", "assignee": ben}
    ask("POST", "/tasks/", body)
    site.must_manage("pm_relay_events")
    inbox = live.get_by_role("region", name="For you")
    expect(inbox.get_by_role("listitem")).to_have_text([f"You are given {title}"])
    expect(inbox.get_by_role("heading")).to_have_text("For you 1 unread")
    live.reload()
    expect(inbox.get_by_role("heading")).to_have_text("For you 1 unread")
    inbox.get_by_role("button", name="Mark all as read").click()
    expect(inbox).to_be_hidden()
    assert ask("GET", "/notifications/?unread=true", user="ben")["results"] == []


def test_everybody_sees_their_own_projects_alone(live, add_task, ask):
    hidden = ask("POST", "/projects/", {"name": "Secret garden"})
    ask("POST", "/tasks/", {"project": hidden["id"], "title": "secret", "due_date": "2031-01-01T00:00:00Z"})
    add_task("shared")
    expect_lines(live, 1)
    assert "shared" in lines(live)[0]


def test_a_project_gained_and_lost(live, ask):
    other = ask("POST", "/projects/", {"name": "Greenhouse"})
    member = ask("POST", f"/projects/{other['id']}/members/", {"user": "ben", "role": "viewer"})
    expect(live.get_by_text("You can see Greenhouse now.")).to_be_visible()
    ask("POST", "/tasks/", {"project": other["id"], "title": "Glass", "due_date": "2031-01-01T00:00:00Z"})
    expect(live.get_by_text("Ana Torres added the task Glass in Greenhouse")).to_be_visible()
    ask("DELETE", f"/projects/{other['id']}/members/{member['id']}/")
    expect(live.get_by_text("You do not see Greenhouse any more.")).to_be_visible()
    ask("POST", "/tasks/", {"project": other["id"], "title": "secret", "due_date": "2031-01-01T00:00:00Z"})
    own = ask("POST", "/projects/", {"name": "My own"}, user="ben")
    expect(live.get_by_text("You can see My own now.")).to_be_visible()
    assert "secret" not in "".join(lines(live))
    ask("DELETE", f"/projects/{own['id']}/", user="ben")


def test_signing_out_elsewhere_ends_it(live, site):
    other = live.context.new_page()
    other.goto(site.url)
    other.get_by_role("button", name="Sign out").click()
    in_state(live, "signed-out")
    link = live.get_by_role("link", name="Sign in again")
    expect(link).to_be_visible()
    link.click()
    expect(live).to_have_url(re.compile(r"/accounts/login/\?next=/live/$"))


def test_a_killed_server_loses_and_repeats_nothing(new_site, chromium, watched: Watched):
    """Killed without a word, as by a power cut, and started again where it was, while others go on writing."""
    watched.expected = f"{FAILED_SOCKET}|{FAILED_REQUEST}"
    site = new_site()
    write = (
        "from django_pm.models import Project, Task; from django.utils.timezone import now; "
        "from accounts.models import User; from django_pm.services.projects import create_project; "
        "project = Project.objects.filter(name='Storm').first() or "
        "create_project(actor=User.objects.get(username='ben'), name='Storm'); "
        "[Task.objects.create(project=project, title=f'{part} {n}', due_date=now()) for n in range(60)]"
    )
    site.must_manage("shell", "-v0", "-c", f"part = 'before'; {write}")
    context = chromium.new_context()
    context.on("page", watched.watch)
    with site.served(*LIVE_SERVER) as server:
        port = urlsplit(site.url).port
        page = context.new_page()
        page.goto(f"{site.url}/accounts/login/?next=/live/")
        page.get_by_label("Login").fill("ben")
        page.get_by_label("Password").fill("demo")
        page.get_by_role("main").get_by_role("button", name="Sign in").click()
        in_state(page, "live")
        page.evaluate(
            "window.states = []; new MutationObserver(() => states.push(state.dataset.state))"
            ".observe(state, {attributes: true})"
        )
        site.must_manage("shell", "-v0", "-c", f"part = 'live'; {write}")
        expect_lines(page, 60)
        server.kill()
        server.wait()
    in_state(page, "reconnecting")
    site.must_manage("shell", "-v0", "-c", f"part = 'away'; {write}")
    with site.served(*LIVE_SERVER, port=port):
        in_state(page, "live")
        site.must_manage("shell", "-v0", "-c", f"part = 'again'; {write}")
        expect_lines(page, 180)
        told = re.findall(r"the task (\w+ \d+) in Storm", "\n".join(lines(page)))
        assert told == [f"{part} {n}" for part in ("live", "away", "again") for n in range(60)]
        assert page.evaluate("states") == ["reconnecting", "live"]
        context.close()


def test_where_sockets_are_blocked_events_come_over_http(context, watched, project, sign_in, site, add_task, ask):
    watched.expected = FAILED_SOCKET
    page = sign_in("ben")
    page.add_init_script(BLOCK)
    page.clock.install()
    page.goto(f"{site.url}/live/")
    state = page.get_by_role("status")
    hurry(page, lambda: state.get_attribute("data-state") == "polling")
    for n in range(3):
        add_task(f"polled {n}")
    gained = ask("POST", "/projects/", {"name": "Hedge"}, user="ben")
    hurry(page, lambda: page.locator("#events li").count() == 4)
    # The network is better now, and the browser says so.
    page.evaluate("window.blocked = false; window.dispatchEvent(new Event('online'))")
    in_state(page, "live")
    add_task("live")
    expect_lines(page, 5)
    text = "\n".join(lines(page))
    assert re.findall(r"the task (\w+(?: \d)?) in Orchard", text) == ["polled 0", "polled 1", "polled 2", "live"]
    assert re.findall(r"can see (\w+)", text) == ["Hedge"]
    ask("DELETE", f"/projects/{gained['id']}/", user="ben")


def test_the_list_stays_short(live, site, project):
    write = (
        "from django_pm.models import Task; from django.utils.timezone import now; "
        f"[Task.objects.create(project_id={project['id']}, title=f'n {{n}}', due_date=now()) for n in range(210)]"
    )
    site.must_manage("shell", "-v0", "-c", write)
    expect(live.locator("#events li").first).to_contain_text("n 209")
    expect_lines(live, 200)


def test_a_strict_policy_is_enough_and_loading_twice_is_harmless(page, site, sign_in, ask, project, add_task):
    sign_in("ben")
    policy = "default-src 'none'; script-src 'self'; connect-src 'self'; require-trusted-types-for 'script'"
    html = '<!doctype html><title>t</title><link rel="icon" href="data:,">' + "".join(
        f'<script src="{path}"></script>'
        for path in ("/static/django_pm/pm-client.js", "/first.js", "/static/django_pm/pm-client.js", "/test.js")
    )
    script = """
      window.events = [];
      const client = new PMClient();
      client.on("state", (state) => { document.title = state; });
      client.on("event", (event) => {
        events.push(event.changes.title[1]);
        document.title = `heard ${event.changes.title[1]}`;
      });
      client.connect();
    """
    page.route(
        "**/strict/",
        lambda route: route.fulfill(
            body=html, content_type="text/html", headers={"Content-Security-Policy": policy + "; img-src data:"}
        ),
    )
    page.route(
        "**/first.js", lambda route: route.fulfill(body="window.first = PMClient", content_type="text/javascript")
    )
    page.route("**/test.js", lambda route: route.fulfill(body=script, content_type="text/javascript"))
    page.goto(f"{site.url}/strict/")
    expect(page).to_have_title("live")
    add_task("strict")
    # Not `wait_for_function`: what that asks again and again is an eval() in the page, which the policy refuses.
    expect(page).to_have_title("heard strict")
    assert page.evaluate("events.length === 1 && first === PMClient")


def test_the_page_reads_well_without_a_mouse_and_on_a_telephone(live, add_task):
    add_task("Something with a long title, as people write them, that needs more than one line on a telephone")
    expect_lines(live, 1)
    headings = live.locator("main :is(h1, h2, h3)").evaluate_all("all => all.map((each) => each.tagName)")
    assert headings == ["H1", "H2", "H2"]
    expect(live.get_by_role("list", name="Events").get_by_role("listitem")).to_have_count(1)
    live.keyboard.press("Tab")
    assert live.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    live.set_viewport_size({"width": 320, "height": 640})
    assert live.evaluate("document.documentElement.scrollWidth") <= 320
