"""Reminders of very many tasks that are due: how many a second, in how much memory, and how the due ones are found.

All send to the same sink, over SMTP on this machine: ours and the conventional answer by a Celery worker of two
processes, ours in a single process as well, and the ceiling by a loop that has its messages ready and asks nobody.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from kombu import Connection

from benchmarks.http import Server, root
from benchmarks.mailing import due
from benchmarks.mailing.site import clear, forget_mail, furnish
from benchmarks.measure import Samples, Table, interleaved, megabytes
from benchmarks.orders import Helper, helper
from benchmarks.probe import probe
from django_pm.mail.sending import send_queue
from django_pm.models import Mail, MailState
from django_pm.services.jobs import QUEUES
from django_pm.services.reminders import queue_due

PROCESSES = 2
WARM_UP = 200
OURS, ALONE, CONVENTIONAL = "ours, Celery", "ours, `pm_run --once`", "a task for each, Celery"
CEILING, CEILINGS = "a loop over ready messages", "two such loops"
CONTESTANTS = {CONVENTIONAL: PROCESSES, OURS: PROCESSES, ALONE: 1, CEILINGS: 2, CEILING: 1}


def run(*, short: bool) -> Iterator[Table]:
    """Three tables."""
    number, rounds = (500, 1) if short else (10_000, 3)
    try:
        with sink() as mails:
            yield _speed(mails, number, rounds)
            yield _memory([500] if short else [1_000, 10_000, 50_000])
        yield due.table([50_000] if short else [10_000, 1_000_000], 5 if short else 21)
    finally:
        clear()


@contextmanager
def sink() -> Iterator[Helper]:
    """The mail server. Processes that are started meanwhile send to it."""
    with helper("benchmarks.mailing.sink") as mails:
        os.environ["PM_BENCH_SMTP_PORT"] = str(mails.answer()["port"])
        try:
            yield mails
        finally:
            del os.environ["PM_BENCH_SMTP_PORT"]


# How fast


def _speed(mails: Helper, number: int, rounds: int) -> Table:
    samples = Samples()
    with running_workers() as servers:

        def variants(into: Samples) -> dict[str, Callable[[], None]]:
            measured = partial(_measure, mails=mails, number=number, samples=into)
            ways: dict[str, Callable[[], float]] = {
                CONVENTIONAL: _one_task_each,
                OURS: _ours_by_celery,
                ALONE: _ours_alone,
                CEILING: partial(_ready_messages, number, 1),
                CEILINGS: partial(_ready_messages, number, 2),
            }
            return {name: partial(measured, name, way, server=servers.get(name)) for name, way in ways.items()}

        furnish(WARM_UP)
        for name, way in ((CONVENTIONAL, _one_task_each), (OURS, _ours_by_celery)):
            _measure(name, way, mails=mails, number=WARM_UP, samples=Samples(), server=servers[name])
        furnish(number)
        interleaved(rounds, variants(samples))
    columns = (
        "how",
        "processes",
        "mails / s",
        "of the conventional",
        "of the ceiling",
        "processor ms / mail",
        "rounds",
    )
    table = Table(f"{number:,} reminders to a mail server on this machine", *columns)
    for name, processes in CONTESTANTS.items():
        speed, ceiling = samples.median(name), samples.median(CEILING if processes == 1 else CEILINGS)
        of_conventional = f"{speed / samples.median(CONVENTIONAL):.1f}"
        work = f"{samples.median(f'{name} work') * 1000:.2f}" if samples.count(f"{name} work") else ""
        table.add(name, str(processes), f"{speed:,.0f}", of_conventional, f"{speed / ceiling:.2f}", work, str(rounds))
    return table


def _measure(
    name: str, way: Callable[[], float], *, mails: Helper, number: int, samples: Samples, server: Server | None
) -> None:
    """One round, from the first step to the arrival of the last message. Each has to arrive, and once."""
    forget_mail()
    mails.order(expect=number)
    worked = server.cpu_seconds() if server else 0.0
    began = way()
    last = mails.order(wait=True)["last"]
    if name == OURS and last:
        _wait_until_noted(number)
    if server:
        samples.add(f"{name} work", (server.cpu_seconds() - worked) / number)
    count = mails.order(count=True)
    assert (count["messages"], count["recipients"]) == (number, number), (name, count)
    samples.add(name, number / (last - began))


def _wait_until_noted(number: int) -> None:
    """The last message has arrived a little before that is known here; the next round must not meet this one."""
    while Mail.objects.filter(state=MailState.SENT).count() < number:
        time.sleep(0.02)


def _ours_by_celery() -> float:
    """The tick that queues; it has the workers send."""
    from benchmarks.mailing.workers import ours

    began = time.monotonic()
    ours.tasks["django_pm.tasks.send_due_reminders"].apply_async()
    return began


def _one_task_each() -> float:
    from benchmarks.mailing.workers import remind_all

    began = time.monotonic()
    remind_all.delay()
    return began


def queue_and_send() -> None:
    """What ``pm_run --once`` does about mail; called in a process of its own."""
    queue_due()
    send_queue()


def _ours_alone() -> float:
    ended = probe("benchmarks.mailing.reminders:queue_and_send", traced=False)
    return ended.began


def _ready_messages(number: int, processes: int) -> float:
    each = number // processes
    with ExitStack() as stack:
        shares = [(str(place * each + 1), str(place * each + each)) for place in range(processes)]
        loops = [stack.enter_context(helper("benchmarks.mailing.ceiling", *share)) for share in shares]
        for loop in loops:
            loop.answer()
        began = time.monotonic()
        for loop in loops:
            loop.tell(go=True)
        for loop in loops:
            loop.answer()
    return began


@contextmanager
def running_workers() -> Iterator[dict[str, Server]]:
    """The worker of ours and the conventional one, by contestant."""
    os.environ["PM_BENCH_QUEUES"] = f"bench{uuid.uuid4().hex}."
    from benchmarks.mailing.workers import BROKER, PREFIX

    queues = {
        OURS: ("ours", ",".join(f"{PREFIX}{queue}" for queue in QUEUES)),
        CONVENTIONAL: ("conventional", f"{PREFIX}conventional"),
    }
    try:
        with ExitStack() as stack:
            yield {name: stack.enter_context(_worker(*arguments)) for name, arguments in queues.items()}
    finally:
        with Connection(BROKER) as connection:
            for _app, names in queues.values():
                for queue in names.split(","):
                    connection.channel().queue_delete(queue)


@contextmanager
def _worker(app: str, queues: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "celery", "-A", f"benchmarks.mailing.workers:{app}", "worker", "-Q", queues]
    options = ["--pool", "prefork", "--concurrency", str(PROCESSES), "--without-gossip", "--without-mingle"]
    name = f"{uuid.uuid4().hex}@here"
    process = subprocess.Popen([*command, *options, "-n", name, "-l", "error"], cwd=root(), stdout=subprocess.DEVNULL)
    try:
        yield Server(0, process)
    finally:
        process.terminate()
        process.wait(timeout=30)


# How much memory


def _memory(sizes: list[int]) -> Table:
    table = Table("The process that queues and sends (memory above before)", "reminders", "s", "peak resident MB")
    for size in sizes:
        furnish(size)
        taken = probe("benchmarks.mailing.reminders:queue_and_send", traced=False)
        assert Mail.objects.filter(state=MailState.SENT).count() == size
        table.add(f"{size:,}", f"{taken.seconds:.1f}", megabytes(taken.resident))
    return table
