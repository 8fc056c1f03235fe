"""Both clients against the running example site, over a real socket."""

import asyncio
import datetime as dt
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from django_pm.client import (
    AsyncClient,
    Changed,
    Client,
    Conflict,
    Invalid,
    KeyReused,
    NotAllowed,
    NotFound,
    NotSignedIn,
    Project,
    Reset,
    Retry,
)
from tests.client.conftest import Either
from tests.example.site import Site

BEN = ("ben", "demo")
DUE = dt.datetime(2031, 6, 1, 12, tzinfo=dt.UTC)
QUICK = Retry(base=0.05)
ROWS = 230


@pytest.fixture
def ben(kind: str, site: Site) -> Either:
    """Either client, for a user who may make projects."""
    return Either(kind, site.url, auth=BEN, trust_env=False, retry=QUICK)


@pytest.fixture
def project(site: Site) -> Iterator[Project]:
    """A project of Ben's."""
    with Client(site.url, auth=BEN, trust_env=False) as pm:
        project = pm.projects.create(name="Moon base")
        yield project
        pm.projects.delete(project.id)


class Network:
    """One that fails: `times` answers to `method` are lost after the server has sent them; with `shaky`, every third
    request does not even get there."""

    def __init__(self, method: str = "", times: int = 1, *, shaky: bool = False) -> None:
        self.method, self.left = method, times
        self.fails = itertools.cycle([False, True, False] if shaky else [False])
        self.lost: list[httpx.Response] = []

    def transport(self, kind: str) -> httpx.BaseTransport | httpx.AsyncBaseTransport:
        """The network as httpx is told of it."""
        network = self

        class Sync(httpx.HTTPTransport):
            def handle_request(self, request: httpx.Request) -> httpx.Response:
                network.before()
                response = super().handle_request(request)
                if network.loses(request):
                    response.read()
                    network.lose(response)
                return response

        class Async(httpx.AsyncHTTPTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                network.before()
                response = await super().handle_async_request(request)
                if network.loses(request):
                    await response.aread()
                    network.lose(response)
                return response

        return Sync() if kind == "sync" else Async()

    def before(self) -> None:
        if next(self.fails):
            raise httpx.ReadError("lost")

    def loses(self, request: httpx.Request) -> bool:
        return request.method == self.method and self.left > 0

    def lose(self, response: httpx.Response) -> None:
        self.left -= 1
        self.lost.append(response)
        raise httpx.ReadError("lost")


class OnNetwork(Either):
    """Ben on a network that fails; each `do` is a client, and so a transport, of its own."""

    def __init__(self, kind: str, site: Site, network: Network) -> None:
        super().__init__(kind, site.url, auth=BEN, retry=QUICK)
        self.network = network

    def do(self, ask: Callable[[Any], Any], *, most: int | None = None) -> Any:
        self.options["transport"] = self.network.transport(self.kind)
        return super().do(ask, most=most)


@pytest.fixture
def forgetful(kind: str, site: Site) -> Callable[[Network], Either]:
    """`forgetful(network)`: Ben on a network that fails."""
    return lambda network: OnNetwork(kind, site, network)


def test_the_life_of_a_task(ben, project):
    task = ben.do(lambda pm: pm.tasks.create(project=project, title="Dig", due_date=DUE, metadata={"depth": 1.5}))
    assert (task.project, task.title, task.due_date, task.metadata) == (project.id, "Dig", DUE, {"depth": 1.5})
    task = ben.do(lambda pm: pm.tasks.update(task, status="completed", assignee=task.created_by))
    assert task.completed_at is not None
    comment = ben.do(lambda pm: pm.comments.create(task, content="Deep enough?"))
    assert (comment.author, comment.task) == ("Ben Fischer", task.id)
    comment = ben.do(lambda pm: pm.comments.edit(comment, lambda each: {"content": each.content + " Yes."}))
    assert [each.content for each in ben.do(lambda pm: pm.comments.list(task))] == ["Deep enough? Yes."]
    # Somebody's comment is no change of the task.
    assert ben.do(lambda pm: pm.tasks.update(task, title="Dug")).comment_count == 1
    ben.do(lambda pm: pm.comments.delete(comment))
    [listed] = ben.do(lambda pm: pm.tasks.list(project=project, status=["completed"], search="dug"))
    ben.do(lambda pm: pm.tasks.delete(listed))
    with pytest.raises(NotFound):
        ben.do(lambda pm: pm.tasks.get(task))


def test_people_come_change_and_go(ben, project):
    vera = ben.do(lambda pm: pm.members.add(project, user="vera", role="viewer"))
    assert (vera.project, vera.role) == (project.id, "viewer")
    vera = ben.do(lambda pm: pm.members.change(vera, role="member"))
    assert ben.do(lambda pm: pm.members.get(vera)) == vera
    with pytest.raises(Invalid) as caught:
        ben.do(lambda pm: pm.members.add(project, user="vera", role="viewer"))
    assert list(caught.value.fields) == ["user"]
    ben.do(lambda pm: pm.members.remove(vera))
    [owner] = ben.do(lambda pm: pm.members.list(project))
    with pytest.raises(Conflict):
        ben.do(lambda pm: pm.members.remove(owner))


@pytest.fixture(scope="module")
def crowded(site: Site) -> Project:
    """A project whose tasks are more than one page."""
    with Client(site.url, auth=BEN, trust_env=False) as pm:
        project = pm.projects.create(name="Crowded")
    rows = f"[Task(project_id={project.id}, title=f'{{n:03}}') for n in range({ROWS})]"
    site.must_manage("shell", "-v0", "-c", f"from django_pm.models import Task; Task.objects.bulk_create({rows})")
    return project


def test_all_pages_of_a_long_list(ben, crowded):
    titles = [f"{n:03}" for n in range(ROWS)]
    assert [task.title for task in ben.do(lambda pm: pm.tasks.list(project=crowded, ordering="title"))] == titles
    assert ben.do(lambda pm: pm.tasks.count(project=crowded)) == ROWS
    assert [event.seq for event in ben.do(lambda pm: pm.events.list(crowded))] == list(range(1, ROWS + 3))


def test_of_two_who_change_the_same_the_second_is_told(ben, project):
    mine = ben.do(lambda pm: pm.projects.get(project))
    with Client(ben.url, auth=BEN, trust_env=False) as theirs:
        theirs.projects.update(theirs.projects.get(project), name="Mars base")
    with pytest.raises(Changed) as caught:
        ben.do(lambda pm: pm.projects.update(mine, name="Venus base"))
    assert not caught.value.perhaps_written
    with pytest.raises(Changed):
        ben.do(lambda pm: pm.projects.delete(mine))
    assert ben.do(lambda pm: pm.projects.get(project)).name == "Mars base"
    assert ben.do(lambda pm: pm.projects.update(project.id, name="Venus base")).name == "Venus base"


def test_edits_that_meet_are_all_there(site, project):
    with Client(site.url, auth=BEN, trust_env=False, retry=QUICK) as pm, ThreadPoolExecutor(4) as pool:
        task = pm.tasks.create(project=project, title="Tally", due_date=DUE)
        once_more = lambda each: {"description": each.description + "|"}  # noqa: E731
        list(pool.map(lambda _n: pm.tasks.edit(task, once_more), range(8)))
        assert pm.tasks.get(task).description == "|" * 8


def test_a_post_whose_answer_is_lost_makes_one_object(forgetful, project):
    network = Network("POST")
    ben = forgetful(network)
    task = ben.do(lambda pm: pm.tasks.create(project=project, title="Once", due_date=DUE))
    [lost] = network.lost
    assert (lost.status_code, lost.json()["id"]) == (201, task.id)
    assert [each.id for each in ben.do(lambda pm: pm.tasks.list(project=project))] == [task.id]


def test_writes_whose_answers_are_lost_are_understood(forgetful, project):
    network = Network("PATCH")
    ben = forgetful(network)
    task = ben.do(lambda pm: pm.tasks.create(project=project, title="Once", due_date=DUE))
    changed = ben.do(lambda pm: pm.tasks.update(task, title="Twice"))
    assert network.lost[0].headers["ETag"] == changed.etag
    assert [event.type for event in ben.do(lambda pm: pm.events.list(project))][2:] == ["task.created", "task.updated"]

    network.method, network.left = "DELETE", 1
    ben.do(lambda pm: pm.tasks.delete(changed))
    assert network.lost[1].status_code == 204


def test_a_key_of_ones_own_is_good_for_one_thing(ben, project):
    key = f"import-{project.id}-{ben.kind}"
    one = ben.do(lambda pm: pm.tasks.create(project=project, title="Row 1", due_date=DUE, idempotency_key=key))
    again = ben.do(lambda pm: pm.tasks.create(project=project, title="Row 1", due_date=DUE, idempotency_key=key))
    assert one == again
    with pytest.raises(KeyReused):
        ben.do(lambda pm: pm.tasks.create(project=project, title="Row 2", due_date=DUE, idempotency_key=key))


def test_a_token_is_limited_to_what_it_is_for(ben, kind, project):
    other = ben.do(lambda pm: pm.projects.create(name="Elsewhere"))
    token = ben.do(lambda pm: pm.tokens.create(name="reader", scope="read", projects=[project]))
    script = Either(kind, ben.url, token=token.secret, trust_env=False)
    assert [each.id for each in script.do(lambda pm: pm.projects.list())] == [project.id]
    with pytest.raises(NotFound):
        script.do(lambda pm: pm.projects.get(other))
    with pytest.raises(NotAllowed):
        script.do(lambda pm: pm.projects.update(project.id, name="x"))
    with pytest.raises(NotAllowed):
        script.do(lambda pm: pm.tokens.list())
    assert token.id in [each.id for each in ben.do(lambda pm: pm.tokens.list())]
    ben.do(lambda pm: pm.tokens.delete(token))
    with pytest.raises(NotSignedIn):
        script.do(lambda pm: pm.projects.list())
    ben.do(lambda pm: pm.projects.delete(other.id))


def test_a_token_whose_answer_is_lost_is_replaced(forgetful, site):
    network = Network("POST")
    ben = forgetful(network)
    token = ben.do(lambda pm: pm.tokens.create(name="twice", scope="write"))
    assert token.secret
    assert token.id != network.lost[0].json()["id"]
    assert [each.id for each in ben.do(lambda pm: pm.tokens.list()) if each.name == "twice"] == [token.id]
    ben.do(lambda pm: pm.tokens.delete(token))


# Events


def write(url: str, project: Project, number: int) -> None:
    with Client(url, auth=BEN, trust_env=False) as pm:
        for n in range(number):
            pm.tasks.create(project=project, title=f"{n:03}", due_date=DUE)


def impatient(kind: str, seconds: float = 30.0) -> Callable[[float], Any]:
    """A sleep that fails after so long: a follower would wait for ever for an event that does not come."""
    deadline = time.monotonic() + seconds

    def sleep(pause: float) -> None:
        assert time.monotonic() < deadline, "the event did not come"
        time.sleep(pause)

    async def asleep(pause: float) -> None:
        assert time.monotonic() < deadline, "the event did not come"
        await asyncio.sleep(pause)

    return sleep if kind == "sync" else asleep


def test_events_are_followed_while_others_write(ben, forgetful, site, project):
    """Two write, the follower reads on a network that fails again and again: each event once, in order."""
    writers = [threading.Thread(target=write, args=(site.url, project, 15)) for _ in range(2)]
    follower = forgetful(Network(shaky=True))
    follower.options["sleep"] = impatient(follower.kind)
    for writer in writers:
        writer.start()
    try:
        events = follower.do(lambda pm: pm.events.follow(project, since=0, interval=0.05), most=32)
    finally:
        for writer in writers:
            writer.join()
    assert [event.seq for event in events] == list(range(1, 33))
    assert len({event.id for event in events}) == 32
    tasks = {task.id for task in ben.do(lambda pm: pm.tasks.list(project=project))}
    assert {event.object.id for event in events if event.type == "task.created"} == tasks


def test_a_restored_backup_resets_the_follower(ben, site, project):
    place = ben.do(lambda pm: pm.events.head(project))
    assert place.seq == 2
    site.must_manage("pm_epoch", "--rotate", "--project", str(project.id))
    with pytest.raises(Reset) as caught:
        ben.do(lambda pm: pm.events.follow(project, since=place), most=1)
    assert caught.value.reason == "epoch"
    assert caught.value.position == ben.do(lambda pm: pm.events.head(project))
    ben.do(lambda pm: pm.projects.update(project.id, name="After"))
    ben.options["sleep"] = impatient(ben.kind)
    [event] = ben.do(lambda pm: pm.events.follow(project, since=caught.value.position), most=1)
    assert event.changes["name"] == ["Moon base", "After"]


def test_state_and_events_are_the_later_state(site, project):
    async def script() -> None:
        async with AsyncClient(site.url, auth=BEN, trust_env=False) as pm:
            first = await pm.tasks.create(project=project, title="a", due_date=DUE)
            place = await pm.events.head(project)
            titles = {task.id: task.title async for task in pm.tasks.list(project=project)}
            await pm.tasks.update(first, title="b")
            await pm.tasks.create(project=project, title="c", due_date=DUE)
            async for event in pm.events.list(project, since=place):
                titles[event.object.id] = event.changes["title"][1]
            assert titles == {task.id: task.title async for task in pm.tasks.list(project=project)}

    asyncio.run(script())
