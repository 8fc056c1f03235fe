"""The ledger itself: whatever is missing, doubled or out of order is in the account of whom it concerns."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.stack.faults.ledger import Account
from tests.stack.faults.site import MARKS, SETTLED, Site
from tests.stack.running import until

pytestmark = MARKS

TAKE = "DELETE FROM consumer_heard WHERE id = (SELECT max(id) FROM consumer_heard) RETURNING id, uuid, project_id, seq"
PUT = "INSERT INTO consumer_heard (id, uuid, project_id, seq) VALUES (%s, %s, %s, %s) RETURNING id"


def amiss(site: Site) -> dict[str, tuple[int, int, int]]:
    accounts: list[Account] = [account for account in site.ledger.accounts() if not account.is_kept]
    return {each.consumer: (each.lost, each.doubled, each.disordered) for each in accounts}


@pytest.fixture
def at_rest(site: Site) -> Iterator[Site]:
    site.load.pause()
    until(site.ledger.is_at_rest, "rest", SETTLED)
    yield site
    site.load.go_on()


@contextmanager
def without_row(site: Site) -> Iterator[None]:
    [row] = site.ledger.rows(TAKE)
    try:
        yield
    finally:
        site.ledger.rows(PUT, *row)


@contextmanager
def with_row(site: Site) -> Iterator[None]:
    [row] = site.ledger.rows("SELECT 0, uuid, project_id, seq FROM consumer_heard ORDER BY seq DESC LIMIT 1")
    site.ledger.rows(PUT, *row)
    try:
        yield
    finally:
        site.ledger.rows("DELETE FROM consumer_heard WHERE id = 0 RETURNING id")


def test_what_it_notices(at_rest: Site) -> None:
    site = at_rest
    follower, written = site.load.followers[0], site.load.written
    socket = f"events on the socket of {follower.person.name}"
    assert amiss(site) == {}
    with without_row(site):
        assert amiss(site) == {"events at the subscriber": (1, 0, 0)}
    with with_row(site):
        lost, doubled, disordered = amiss(site)["events at the subscriber"]
        assert (lost, doubled) == (0, 1)
        assert disordered
    heard = follower.heard
    follower.heard = heard[1:]
    assert amiss(site) == {socket: (1, 0, 0)}
    follower.heard = [*heard, heard[-1]]
    assert amiss(site) == {socket: (0, 1, 1)}
    follower.heard = [*heard[:-1], heard[-1]._replace(uuid="somebody else's")]
    assert amiss(site) == {socket: (1, 0, 0)}
    follower.heard = heard
    written.tasks["w0 never"] = 0
    assert amiss(site) == {"writes answered with success": (1, 0, 0)}
    del written.tasks["w0 never"]
    written.soon.add(0)
    assert amiss(site) == {"reminders at the mail server": (1, 0, 0)}
    written.soon.remove(0)
    counter = next(iter(written.counts))
    written.counts[counter] += 1
    assert amiss(site) == {"edits of counters": (2, 0, 0)}
    written.counts[counter] -= 1
    assert amiss(site) == {}
