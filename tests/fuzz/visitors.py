"""Who sends the made-up requests, and what of the site's real content goes into them.

A request made from the document alone meets nothing: its ids are of nothing, its time zones are none, its cursors and
tags were never given out. So most requests get some of what a visitor could have read.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import Any

import requests

DUE = "2030-01-31T12:00:00Z"
SECONDS = 20


class Visitor:
    """One role: a session that was signed in once, as a browser's is, or nobody's."""

    def __init__(self, url: str, login: str = "") -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        if login:
            self._sign_in(login)

    def _sign_in(self, login: str) -> None:
        page = f"{self.url}/accounts/login/"
        self.session.get(page, timeout=SECONDS).raise_for_status()
        form = {"csrfmiddlewaretoken": self.session.cookies["csrftoken"], "username": login, "password": "demo"}
        self.session.post(page, data=form, timeout=SECONDS).raise_for_status()
        assert "sessionid" in self.session.cookies, f"{login} could not sign in"
        # What a page's script would do before it writes.
        self.session.headers["X-CSRFToken"] = self.session.cookies["csrftoken"]

    def get(self, path: str, **query: Any) -> Any:
        """The parsed answer to a request that has to succeed."""
        response = self.session.get(self.url + path, params=query, timeout=SECONDS)
        response.raise_for_status()
        return response.json()

    def post(self, path: str, body: Any) -> Any:
        """As `get`, for making something."""
        response = self.session.post(self.url + path, json=body, timeout=SECONDS)
        response.raise_for_status()
        return response.json()


@dataclass
class Content:
    """What there is on the site, as far as `reader` sees it; `refresh` it, for it is being changed."""

    reader: Visitor
    projects: list[int] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)
    comments: list[int] = field(default_factory=list)
    members: list[tuple[int, int]] = field(default_factory=list)
    reports: list[tuple[int, str]] = field(default_factory=list)
    rules: list[tuple[int, int]] = field(default_factory=list)
    notifications: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    users: list[int] = field(default_factory=list)
    cursors: list[str] = field(default_factory=list)
    epochs: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)

    def refresh(self) -> None:
        """Read it again, and see to it that there is some of everything."""
        reader = self.reader
        mine = reader.post("/projects/", {"name": "Kept"})["id"]
        task = reader.post("/tasks/", {"project": mine, "title": "Kept", "due_date": DUE})["id"]
        comment = reader.post(f"/tasks/{task}/comments/", {"content": "Kept"})["id"]
        token = reader.post("/tokens/", {"name": "Kept"})["id"]
        self.projects = [mine, *self._ids("/projects/")][:12]
        self.tasks = [task, *self._ids("/tasks/")][:40]
        self.tokens = [token, *self._ids("/tokens/")][:12]
        self.comments = [comment, *(key for task in self.tasks[:6] for key in self._ids(f"/tasks/{task}/comments/"))]
        members = [
            (project, row)
            for project in self.projects[:6]
            for row in reader.get(f"/projects/{project}/members/")["results"]
        ]
        self.members = [(project, row["id"]) for project, row in members]
        self.reports = [(mine, reader.post(f"/projects/{mine}/reports/", {})["date"])]
        rule = {"name": "Kept", "condition": "overdue", "hours": 1, "action": "notify", "role": "owner"}
        self.rules = [(mine, reader.post(f"/projects/{mine}/rules/", rule)["id"])]
        self.notifications = self._ids("/notifications/") or [
            1
        ]  # where nobody has been told of anything, one of nobody
        self.users = sorted({row["user"] for _project, row in members})
        pages = [reader.get("/tasks/", page_size=2, ordering=name) for name in ("-created_at", "due_date", "priority")]
        self.cursors = re.findall(r"cursor=([\w%-]+)", " ".join(page["next"] or "" for page in pages))
        self.epochs = [reader.get(f"/projects/{project}/events/")["epoch"] for project in self.projects[:3]]

    def _ids(self, path: str) -> list[int]:
        return [row["id"] for row in self.reader.get(path, page_size=30)["results"]]

    def path_of(self, template: str, chance: random.Random) -> dict[str, Any]:
        """Ids of something real for the path `template`."""
        if template == "/projects/{project_id}/members/{id}/":
            project, member = chance.choice(self.members)
            return {"project_id": project, "id": member}
        if template == "/projects/{project_id}/rules/{id}/":
            project, rule = chance.choice(self.rules)
            return {"project_id": project, "id": rule}
        if template == "/projects/{project_id}/reports/{date}/":
            project, date = chance.choice(self.reports)
            return {"project_id": project, "date": date}
        kind, name = re.fullmatch(r"/(\w+)/\{(\w+)\}/.*", template).groups()
        return {name: chance.choice(getattr(self, kind))}

    def forget(self, template: str, keys: dict[str, Any]) -> None:
        """Take note that what `template` with `keys` is the path of has been deleted."""
        if template.endswith("/watch/"):  # what was said of it, not the thing itself
            return
        kind = template.strip("/").split("/")[-2]
        left: list[Any] = getattr(self, kind)
        gone = (keys["project_id"], keys["id"]) if kind in {"members", "rules"} else keys["id"]
        if gone in left:
            left.remove(gone)
        if kind in {"projects", "members"} or not left:  # and with it more, or the right to see more
            self.refresh()

    def word_for(self, name: str, chance: random.Random) -> Any:
        """A value for the parameter or field `name` that means something on this site; None if any would do."""
        project, user = chance.choice(self.projects), chance.choice(self.users)
        words: dict[str, list[Any]] = {
            "project": [project],
            "projects": [[project], None],
            "assignee": [user, None],
            "user": [user, "ben", "vera"],
            "time_zone": ["Europe/Lisbon", "UTC"],
            "due_date": [DUE],
            "expires_at": [DUE, None],
            "cursor": self.cursors,
            "since": [0, 1, 3, 10**6],
            "epoch": self.epochs,
            "object": [f"task:{chance.choice(self.tasks)}", f"project:{project}"],
            "If-Match": [*self.tags[-3:], "*"],
            "If-None-Match": [*self.tags[-3:], "*"],
        }
        return chance.choice(words[name]) if words.get(name) else None
