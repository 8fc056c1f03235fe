"""Runs the suite on every database that this machine can offer, and says which those were.

`make test`, tox and CI call it; so may you, with any pytest arguments behind its own:

    python scripts/run_tests.py
    python scripts/run_tests.py --only sqlite -n 0 -k membership

It needs the standard library and an environment with the `test` dependency group. A service that does not
answer is named in the last line; with `PM_REQUIRE_SERVICES=1` it is a failure instead, before any test runs.
"""

import argparse
import getpass
import importlib.util
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PROBE_SECONDS = 2
PYTEST_NO_TESTS = 5

# What does not depend on the database or the user model of the test host: once, in the first run, is enough.
# (The permission walk asks the same of every database, and takes a minute or two.)
ONCE = (
    "tests/api/test_permission_walk.py",
    "tests/cache/test_breaker.py",
    "tests/cache/test_coherence.py",
    "tests/cache/test_local.py",
    "tests/cache/test_shared.py",
    "tests/cache/test_hot_walk.py",
    "tests/client",
    "tests/commands/test_seed_memory.py",
    "tests/docs",
    "tests/i18n",
    "tests/example",
    "tests/mail/test_any_time.py",
    "tests/reports/test_any_time.py",
    "tests/shapes",
    "tests/test_advisories.py",
    "tests/test_asvs.py",
    "tests/test_evidence.py",
    "tests/test_packaging.py",
    "tests/test_readme.py",
)

# What takes long and asks nothing of the user model: once on each database.
ONCE_ON_EACH_DATABASE = (
    "tests/cache/processes",
    "tests/cache/test_same_as_uncached.py",
    "tests/events/test_hostile.py",
    "tests/events/test_rebuild.py",
    "tests/health",
    "tests/inbox/test_interrupted.py",
    "tests/inbox/test_many_watchers.py",
    "tests/inbox/test_recomputed.py",
    "tests/mail/test_crash_points.py",
    "tests/mail/test_database_crash.py",
    "tests/models/test_indexes.py",
    "tests/operations",
    "tests/realtime",
    "tests/serving",
    "tests/stack",
    "tests/tasks/processes",
)

# What tests a part that an extra or a site brings, and the module that says whether it is here.
EXTRAS = {
    "tests/cache/processes": "django_redis",
    "tests/docs": "channels",
    "tests/example/test_live_server.py": "channels",
    "tests/health": "prometheus_client",
    "tests/operations": "channels",
    "tests/realtime": "channels",
    "tests/serving": "channels",
    "tests/shapes": "channels",
    "tests/stack": "supervisor",
    "tests/tasks": "celery",
    "tests/tasks/test_beat_tables.py": "django_celery_beat",  # which no extra brings: tox's `beat`
}

# What has a command of its own (`make browser`, `make fuzz`, `make faults`, `make composed`): only where it is named.
APART = ("tests/browser", "tests/fuzz", "tests/stack/composed", "tests/stack/faults")

# pytest's last line, framed or (with -q) bare.
CLOSING_LINE = re.compile(r"(=+ )?(no tests ran|\d+ [a-z]+(, \d+ [a-z]+)*) in \d")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Service:
    """Something outside this process that some tests need.

    `variable` names the environment variable that says where it is, to this script and to the tests; without
    it the `defaults` are tried in turn. `probe` takes such an address, answers with the version and raises
    where nothing usable answers. Tests that cannot do without it carry the marker `marker`. One that is a
    `database` belongs to the runs that are made on it; any other is offered to all runs.
    """

    name: str
    variable: str
    defaults: tuple[str, ...]
    probe: Callable[[str], str]
    marker: str
    database: bool = False
    module: str = ""
    """What speaks to it, where an extra brings that. Without the extra none of its tests runs, so it is not asked."""


@dataclass(frozen=True)
class Found:
    """Where a service answered, or why it did not."""

    service: Service
    url: str = ""
    version: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Run:
    """One pass of the suite: on this database (None is SQLite), with these users."""

    key: str
    database: Service | None
    user_model: str
    users: str


@dataclass
class Outcome:
    label: str
    code: int
    closing: str
    without: tuple[str, ...]
    seconds: float


def probe_postgres(url: str) -> str:
    """The server's version, e.g. `15.4`.

    The suite creates databases of its own, so a role that may not is no use and raises too.
    """
    import psycopg

    with psycopg.connect(url, connect_timeout=PROBE_SECONDS) as connection:
        row = connection.execute(
            "SELECT rolsuper OR rolcreatedb, current_setting('server_version')"
            " FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    if row is None or not row[0]:
        raise PermissionError("the role may not create databases")
    return str(row[1]).split()[0]


def probe_redis(url: str) -> str:
    """The server's version, e.g. `7.0.15`."""
    import redis

    with redis.Redis.from_url(url, socket_connect_timeout=PROBE_SECONDS, socket_timeout=PROBE_SECONDS) as client:
        return str(client.info("server")["redis_version"])


def probe_rabbitmq(url: str) -> str:
    """The server's version, e.g. `3.10.8`."""
    from kombu import Connection

    with Connection(url, connect_timeout=PROBE_SECONDS) as connection:
        return str(connection.ensure_connection(max_retries=0).connection.server_properties["version"])


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's numeric user without a name
        return "postgres"


POSTGRES = Service(
    name="PostgreSQL",
    variable="PM_TEST_DATABASE_URL",
    defaults=(
        "postgresql://postgres@127.0.0.1:5432/test",
        f"postgresql://{_user()}@127.0.0.1:5432/test",
        "postgresql://postgres@127.0.0.1:5432/postgres",
        "postgresql://postgres:postgres@127.0.0.1:5432/postgres",
    ),
    probe=probe_postgres,
    marker="postgres",
    database=True,
)

REDIS = Service(
    name="Redis",
    variable="PM_TEST_REDIS_URL",
    defaults=("redis://127.0.0.1:6379/9",),
    probe=probe_redis,
    marker="redis",
    module="redis",
)

RABBITMQ = Service(
    name="RabbitMQ",
    variable="PM_TEST_RABBITMQ_URL",
    defaults=("amqp://guest:guest@127.0.0.1:5672//",),
    probe=probe_rabbitmq,
    marker="rabbitmq",
    module="kombu",
)

# A further service is a row here, its marker in pyproject.toml and its part in scripts/ensure_services.sh.
SERVICES = (POSTGRES, REDIS, RABBITMQ)

RUNS = (
    Run("sqlite", None, "auth.User", "auth.User"),
    Run("sqlite", None, "testsite.Member", "UUID e-mail users"),
    Run("postgres", POSTGRES, "auth.User", "auth.User"),
    Run("postgres", POSTGRES, "testsite.Member", "UUID e-mail users"),
)


def look_for(service: Service) -> Found:
    """Where the service answers: at the address in its variable if that is set, else at a default one."""
    named = os.environ.get(service.variable, "")
    if named and service.database and not named.startswith(("postgres", "pgsql")):
        named = ""  # a SQLite file for the SQLite runs: it says nothing of where this service is
    reason = ""
    for url in [named] if named else dict.fromkeys(service.defaults):
        try:
            return Found(service, url, service.probe(url))
        except Exception as error:  # whatever a driver raises: it is no use here, and the reason is reported
            # Further candidates fail for reasons of their own (no such role): the first says most.
            first = (str(error).strip().splitlines() or [""])[0]
            reason = reason or f"{service.name} did not answer: {type(error).__name__}: {first}"
    return Found(service, reason=reason)


def label_of(run: Run, found: dict[Service, Found]) -> str:
    name, version = "SQLite", sqlite3.sqlite_version
    if run.database:
        name, version = run.database.name, found[run.database].version
    return f"{' '.join(filter(None, (name, version)))} ({run.users})"


def environment(run: Run, found: dict[Service, Found]) -> dict[str, str]:
    """What a run's pytest process is told about the user model and the services."""
    told = {**os.environ, "PM_TEST_USER_MODEL": run.user_model, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    for service, where in found.items():
        if service.database and service is not run.database:
            if told.get(service.variable, "").startswith("sqlite"):
                continue
            told.pop(service.variable, None)
        elif where.url:
            told[service.variable] = where.url
    return told


def markers_left_out(run: Run, found: dict[Service, Found]) -> tuple[str, ...]:
    """The markers of the services that this run does not have."""
    return tuple(
        service.marker
        for service, where in found.items()
        if not where.url or (service.database and service is not run.database)
    )


def follow(command: list[str], env: dict[str, str]) -> tuple[int, str]:
    """Runs a command, shows its output as it comes, and returns its exit code and pytest's closing line."""
    tail = b""
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE) as process:
        if process.stdout is None:
            raise RuntimeError("no pipe to pytest")
        try:
            while chunk := os.read(process.stdout.fileno(), 65536):
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
                tail = (tail + chunk)[-20000:]
        except KeyboardInterrupt:
            process.wait()  # pytest got the Ctrl-C as well, and has a database to drop
            raise
    lines = [COLOURS.sub("", line) for line in tail.decode(errors="replace").splitlines()]
    closing = next(
        (line for line in reversed(lines) if CLOSING_LINE.match(line)), "pytest ended without a closing line"
    )
    return process.returncode, closing


def left_out(run: Run, before: list[Run], named: list[str]) -> list[str]:
    """The paths that a run need not look at, `before` having been made, or cannot; `named` are pytest's arguments."""
    paths = list(ONCE) if before else []
    if run.database in [other.database for other in before]:
        paths += ONCE_ON_EACH_DATABASE
    paths += [path for path in APART if not any(argument.startswith(path) for argument in named)]
    return paths + without_extras()


def run_once(run: Run, found: dict[Service, Found], options: argparse.Namespace, ignored: list[str]) -> Outcome:
    label = label_of(run, found)
    without = markers_left_out(run, found)
    expression = " and ".join([*([f"({options.markers})"] if options.markers else []), *(f"not {m}" for m in without)])
    command = [sys.executable, "-m", "pytest", "-n", str(options.workers)]
    if expression:
        command += ["-m", expression]
    command += [f"--ignore={path}" for path in ignored]
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        command.append("--color=yes")
    command += options.pytest
    say(f"\n--- {label}: {' '.join(command[1:])}")
    started = time.monotonic()
    code, closing = follow(command, environment(run, found))
    return Outcome(label, code, closing, without, time.monotonic() - started)


def without_extras() -> list[str]:
    """The tests that cannot run here, because the extra that they are about is not installed."""
    return [path for path, module in EXTRAS.items() if not is_here(module)]


def is_here(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def summary(outcomes: Iterable[Outcome], missing: Iterable[str]) -> str:
    """The last line: what was exercised and what was not."""
    exercised = []
    for outcome in outcomes:
        note = f" without tests marked {', '.join(outcome.without)}" if outcome.without else ""
        failed = "" if outcome.code in (0, PYTEST_NO_TESTS) else " FAILED"
        exercised.append(f"{outcome.label}{note}{failed}")
    return f"exercised: {'; '.join(exercised) or '—'}. Not exercised: {'; '.join(missing) or '—'}."


def say(text: str) -> None:
    print(text, flush=True)


def options_from(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--only",
        choices=sorted({run.key for run in RUNS}),
        action="append",
        help="run on this database alone (repeatable)",
    )
    parser.add_argument(
        "--user-model",
        choices=["all", *sorted({run.user_model for run in RUNS})],
        default="auth.User",
        help="run with these users, or with all in turn",
    )
    parser.add_argument("-n", dest="workers", default=str(min(os.cpu_count() or 1, 4)), help="pytest-xdist workers")
    parser.add_argument("-m", dest="markers", default="", help="pytest marker expression, added to the script's own")
    options, options.pytest = parser.parse_known_args(arguments)
    return options


def main(arguments: list[str]) -> int:
    options = options_from(arguments)
    chosen = [
        run
        for run in RUNS
        if options.user_model in ("all", run.user_model) and (not options.only or run.key in options.only)
    ]
    found = {service: look_for(service) for service in SERVICES if not service.module or is_here(service.module)}
    on = {run.database for run in chosen}
    missing = [where.reason for s, where in found.items() if not where.url and (s in on or not s.database)]
    if missing and os.environ.get("PM_REQUIRE_SERVICES") == "1":
        say(f"PM_REQUIRE_SERVICES=1 and a service is unreachable: {'; '.join(missing)}")
        return 1
    missing += [f"{label_of(run, found)} not asked for" for run in RUNS if run not in chosen]

    outcomes: list[Outcome] = []
    made: list[Run] = []
    for run in chosen:
        if run.database is None or found[run.database].url:
            outcomes.append(run_once(run, found, options, left_out(run, made, options.pytest)))
            made.append(run)
    missing += [f"{path} ({EXTRAS[path]} is not installed)" for path in without_extras()]

    say("")
    for outcome in outcomes:
        say(f"{outcome.label}: {outcome.seconds:.0f} s")
        say(outcome.closing)
    say(summary(outcomes, missing))
    # A selection may hold nothing for some run (a folder that only the first one takes), but not for all.
    fine = {0, PYTEST_NO_TESTS} if options.pytest or options.markers else {0}
    codes = {outcome.code for outcome in outcomes}
    return 0 if 0 in codes and codes <= fine else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
