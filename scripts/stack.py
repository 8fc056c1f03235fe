"""Starts the services of docker-compose.yml without containers: `make stack`, or

    python scripts/stack.py up                      until Ctrl-C
    python scripts/stack.py manage createsuperuser  a management command in their environment
    python scripts/stack.py list                    what would be started
    python scripts/stack.py restart                 migrate, and replace one process after the other, unnoticed

Commands and environments are those of the compose file. What names a container's network or disk is this machine's
instead; PostgreSQL, RabbitMQ and Redis have to run, each with a corner of its own for this.
supervisord keeps the processes running, as `restart: unless-stopped` does. A variable of the compose file may be set in
the shell; `.env`, which is meant for Compose, names hosts and a mail server that are not this machine's. And

    STACK_PORT       8080: of the gateway, on 127.0.0.1. Each replica has a port after it, in the order of `list`
    STACK_SMTP_PORT  1025: of what takes the mail and prints it, in the place of mailpit
    STACK_DATABASE_URL, STACK_BROKER_URL, STACK_REDIS_URL   where the three are
    STACK_FOLDER     .stack: logs, one for each process, and what the processes write
"""

import http.client
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from xmlrpc.client import Fault, ServerProxy

import yaml
from supervisor.xmlrpc import SupervisorTransport

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = ROOT / "docker-compose.yml"
SITE = ROOT / "example_project"
OURS = ("site", "gateway")  # build targets
PROGRAMS = Path(sys.executable).parent
HOST = "127.0.0.1"
# Debian has nginx and rabbitmqctl where only root looks.
PLACES = os.pathsep.join([str(PROGRAMS), os.environ.get("PATH", os.defpath), "/usr/sbin"])

# For trying out, on this machine alone. The composed services have no such values.
DEFAULTS = {
    "SECRET_KEY": "of a stack that only this machine can reach",
    "POSTGRES_PASSWORD": "-",
    "RABBITMQ_PASSWORD": "-",
    "REDIS_PASSWORD": "-",
    "ALLOWED_HOSTS": "localhost,127.0.0.1",
    "HTTPS": "0",
    "EMAIL_HOST": HOST,
    "DEFAULT_FROM_EMAIL": "projects@example.com",
}
# `$$`, or `${NAME}`, `${NAME:-default}`, `${NAME:?what it is}`: all that the compose file uses.
VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::([-?])([^}]*))?\})")


class Process(NamedTuple):
    """One replica of a service: the command and environment of the composed one, on a port of this machine."""

    service: str
    number: int
    command: list[str]
    environment: dict[str, str]
    seconds_to_end: int
    port: int = 0

    @property
    def name(self) -> str:
        """How supervisord and the log file call it."""
        return f"{self.service}-{self.number}"


def interpolated(node: Any, variables: Mapping[str, str]) -> Any:
    """The compose file as Compose reads it, with these variables."""

    def value(found: re.Match[str]) -> str:
        name, operator, rest = found.groups()
        if name is None:
            return "$"
        if not variables.get(name) and operator == "?":
            raise SystemExit(f"{name} is not set: {rest}")
        return variables.get(name) or (rest.replace("$$", "$") if operator == "-" else "")

    if isinstance(node, dict):
        return {key: interpolated(each, variables) for key, each in node.items()}
    if isinstance(node, list):
        return [interpolated(each, variables) for each in node]
    return VARIABLE.sub(value, node) if isinstance(node, str) else node


class Stack:
    """Everything that is started, and where."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.port = int(environ.get("STACK_PORT", "8080"))
        self.smtp_port = int(environ.get("STACK_SMTP_PORT", "1025"))
        self.folder = Path(environ.get("STACK_FOLDER") or ROOT / ".stack").resolve()
        url = f"http://{HOST}:{self.port}"
        variables = DEFAULTS | {"SITE_URL": url, "EMAIL_PORT": str(self.smtp_port)}
        variables |= {name: value for name, value in environ.items() if value}
        self.services = interpolated(yaml.safe_load(COMPOSE.read_text()), variables)["services"]
        self.here = {
            "DATABASE_URL": environ.get("STACK_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/pm_stack"),
            "BROKER_URL": environ.get("STACK_BROKER_URL", "amqp://guest:guest@127.0.0.1:5672/pm_stack"),
            "REDIS_URL": environ.get("STACK_REDIS_URL", "redis://127.0.0.1:6379/9"),
            "PM_DATA_DIR": str(self.folder),
            "STATIC_ROOT": str(self.folder / "static"),
            "PROMETHEUS_MULTIPROC_DIR": str(self.folder / "metrics"),
            "GATEWAY_PORT": f"{HOST}:{self.port}",
        }
        self.processes = list(self._processes())

    def _processes(self) -> list[Process]:
        found: list[Process] = []
        ports: dict[str, list[int]] = {}
        for name, service in self.services.items():
            if service.get("build", {}).get("target") not in OURS or service["restart"] == "no":
                continue
            for number in range(1, int(service["deploy"].get("replicas", 1)) + 1):
                port = self.port + 1 + sum(map(len, ports.values()))
                environment = self.environment(name)
                for server in ("GRANIAN", "UVICORN"):
                    if f"{server}_PORT" in environment:
                        environment |= {f"{server}_HOST": HOST, f"{server}_PORT": str(port)}
                        ports.setdefault(name, []).append(port)
                seconds = int(service["stop_grace_period"].removesuffix("s"))
                served = {port} & set(ports.get(name, ()))
                found.append(Process(name, number, service.get("command", []), environment, seconds, sum(served)))
        gateway = next(process for process in found if process.service == "gateway")
        gateway.command[:] = ["nginx", "-e", "stderr", "-c", str(self.folder / "nginx.conf")]
        return found

    def environment(self, service: str) -> dict[str, str]:
        """What the compose file gives the service, and what of it is different here."""
        composed = {name: str(value) for name, value in self.services[service]["environment"].items()}
        return composed | {name: value for name, value in self.here.items() if name in composed}

    def nginx(self, spared: Process | None = None) -> str:
        """The gateway's configuration: what nginx's image makes of the template, in a frame that needs no root.

        One replica may be spared: it is asked nothing.
        """
        (gateway,) = (process for process in self.processes if process.service == "gateway")
        variables = dict(gateway.environment)
        for name in ("API_SERVERS", "REALTIME_SERVERS"):
            # What the compose file says of its name, said of each address.
            options = variables[name].partition("resolve")[2]
            replicas = [each for each in self.processes if each.port and name == f"{each.service.upper()}_SERVERS"]
            variables[name] = " ".join(
                f"server {HOST}:{each.port}{' down' if each == spared else ''}{options}" for each in replicas
            )
        site = (ROOT / "gateway" / "site.conf.template").read_text()
        site = re.sub(r"\$\{(\w+)\}", lambda found: variables[found[1]], site)
        paths = "".join(
            f"{name}_temp_path {self.folder}/nginx-{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return (
            f"daemon off;\npid {self.folder}/nginx.pid;\nworker_processes 1;\nevents {{ worker_connections 4096; }}\n"
            f"http {{\ninclude /etc/nginx/mime.types;\n{paths}{site}}}\n"
        )

    def supervisor(self) -> str:
        """What supervisord is to run."""
        smtp = [sys.executable, "-u", "-m", "aiosmtpd", "-n", "-l", f"{HOST}:{self.smtp_port}"]
        smtp += ["-c", "aiosmtpd.handlers.Debugging", "stdout"]
        everything = [*self.processes, Process("mailpit", 1, smtp, {}, 5)]
        return (
            f"[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={self.folder}/supervisord.pid\n"
            f"[unix_http_server]\nfile={self.folder}/supervisor.sock\n[supervisorctl]\nserverurl=unix://{self.folder}/supervisor.sock\n"
            "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
            # As one group they end at the same time.
            f"[group:stack]\nprograms={','.join(process.name for process in everything)}\n"
            + "".join(map(self._program, everything))
        )

    def _program(self, process: Process) -> str:
        environment = ",".join(f"{name}={quoted(value)}" for name, value in here(process.environment).items())
        return (
            f"[program:{process.name}]\ncommand={shlex.join(process.command).replace('%', '%%')}\n"
            f"directory={SITE}\nenvironment={environment}\nautorestart=true\nstartsecs=1\nstartretries=1000\n"
            f"stopwaitsecs={process.seconds_to_end}\nkillasgroup=true\nredirect_stderr=true\n"
            f"stdout_logfile={self.folder}/{process.name}.log\nstdout_logfile_backups=1\n"
        )

    def manage(self, *arguments: str, service: str = "api", **variables: str) -> None:
        """Run a management command in the environment of this service."""
        environment = surroundings() | here(self.environment(service)) | variables
        subprocess.run([sys.executable, "manage.py", *arguments], cwd=SITE, env=environment, check=True)

    def prepare(self) -> None:
        """What is done once before anything runs: the corner in each service, the static files, `migrate`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for log in self.folder.glob("*.log"):
            log.unlink()
        metrics = Path(self.here["PROMETHEUS_MULTIPROC_DIR"])
        shutil.rmtree(metrics, ignore_errors=True)
        metrics.mkdir()
        make_database(self.here["DATABASE_URL"])
        make_vhost(self.here["BROKER_URL"])
        self.manage("collectstatic", "--noinput", "--verbosity", "0", STATIC_ROOT=self.here["STATIC_ROOT"])
        self.manage(*self.services["migrate"]["command"][2:], service="migrate")
        (self.folder / "nginx.conf").write_text(self.nginx())
        configuration = self.folder / "supervisord.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(self.supervisor())

    def restart(self) -> None:
        """Replace every process by a new one, which runs the code that is there now.

        In the order of docs/deployment.md. Sockets are told to come back, and resume elsewhere. Of two replicas of
        `api` one is always asked and the other one is not; a single one is away for a moment.
        """
        self.manage("collectstatic", "--noinput", "--verbosity", "0", STATIC_ROOT=self.here["STATIC_ROOT"])
        self.manage(*self.services["migrate"]["command"][2:], service="migrate")
        served = ("realtime", "api", "gateway")
        self._replace(*(each for each in self.processes if each.service not in served))
        for process in self._replicas("realtime"):
            self._replace(process)
        api = self._replicas("api")
        for process in api:
            if len(api) > 1:
                self._reload(spared=process)
                wait_until_unused(process.port)
            self._replace(process)
        self._reload()

    def _replicas(self, service: str) -> list[Process]:
        return [process for process in self.processes if process.service == service]

    def supervised(self) -> dict[str, str]:
        """The states of all processes, by name, as the running supervisord tells them."""
        with self._supervisord() as supervisord:
            return {each["name"]: each["statename"] for each in supervisord.supervisor.getAllProcessInfo()}

    def _supervisord(self) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self.folder}/supervisor.sock")
        return ServerProxy("http://127.0.0.1", transport=transport)

    def _replace(self, *processes: Process) -> None:
        """Stop these, each as it is told to end, and start them again; return once those that answer do."""
        names = {process.name for process in processes}
        print(f"Replacing {', '.join(sorted(names))} …", flush=True)

        def are(*states: str) -> bool:
            found = self.supervised()
            return all(found[name] in states for name in names)

        with self._supervisord() as supervisord:
            for name in names:
                with suppress(Fault):  # it has ended by itself
                    supervisord.supervisor.stopProcess(f"stack:{name}", False)
            seconds = max(process.seconds_to_end for process in processes)
            wait(lambda: are("STOPPED", "EXITED", "FATAL"), f"{names} have ended", seconds + 10)
            for name in names:
                supervisord.supervisor.startProcess(f"stack:{name}", False)
        wait(lambda: are("RUNNING"), f"{names} run")
        for process in processes:
            if process.port:
                wait(lambda port=process.port: answers(port), f"{process.name} answers")

    def _reload(self, spared: Process | None = None) -> None:
        """Have nginx read its configuration again, and wait until it asks nobody by the former one."""
        master = int((self.folder / "nginx.pid").read_text())
        former = nginx_workers(master)
        (self.folder / "nginx.conf").write_text(self.nginx(spared))
        os.kill(master, signal.SIGHUP)
        wait(lambda: not former & nginx_workers(master), "nginx has read its configuration")

    def up(self) -> None:
        """Become supervisord."""
        self.prepare()
        print(f"http://{HOST}:{self.port} answers soon. Logs are in {self.folder}. Ctrl-C ends everything.", flush=True)
        program = str(PROGRAMS / "supervisord")
        os.execve(program, [program, "-c", str(self.folder / "supervisord.conf")], surroundings())  # noqa: S606 (no shell is wanted)


def surroundings() -> dict[str, str]:
    """What of the shell's environment the processes get: nothing that configures a site."""
    kept = {
        name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR", "DJANGO_SUPERUSER_PASSWORD") if name in os.environ
    }
    return kept | {"PATH": PLACES}


def here(environment: Mapping[str, str]) -> dict[str, str]:
    """Beside it, what makes Python's output come at once, as in the image."""
    return {**environment, "PYTHONUNBUFFERED": "1"}


def quoted(value: str) -> str:
    """As supervisord reads values. It knows no way to write a quotation mark."""
    if '"' in value:
        raise SystemExit(f"make stack cannot pass on a value with a quotation mark: {value}")
    return '"' + value.replace("%", "%%") + '"'


def wait(condition: Callable[[], Any], what: str, seconds: float = 60) -> None:
    """Return once that is so."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"Not so within {seconds:g} seconds: {what}.")
        time.sleep(0.05)


def answers(port: int) -> bool:
    """Whether a replica says that it is alive."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/healthz", headers={"Host": "localhost"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def nginx_workers(master: int) -> set[int]:
    """Those that take requests. One that is shutting down only goes on with what it has begun."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return {int(pid) for pid in children if b"shutting down" not in command_line(pid)}


def command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:  # it has ended
        return b"shutting down"


def wait_until_unused(port: int) -> None:
    """Return once nobody has been connected to this port for a moment.

    A moment, for somebody may have connected to nginx before it stopped listening, and ask only now.
    """
    unused_since = time.monotonic()

    def is_unused() -> bool:
        nonlocal unused_since
        now = time.monotonic()
        if is_connected(port):
            unused_since = now
        return now > unused_since + 0.5

    wait(is_unused, f"nobody is connected to port {port}")


def is_connected(port: int) -> bool:
    """Whether there is a connection from the gateway to this port, by Linux' own list."""
    remote, established = f"0100007F:{port:04X}", "01"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[2:4] == [remote, established] for line in lines)


def make_database(url: str) -> None:
    """Make the database if it is not there."""
    import psycopg

    server, _, name = url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))


def make_vhost(url: str) -> None:
    """Make the broker's virtual host if it is not there, which takes RabbitMQ's own command and its user or root."""
    user, vhost = re.findall(r"//([^:@/]*)[^/]*/(.*)$", url)[0]
    if vhost in ("", "/") or lets_in(url):
        return
    control = shutil.which("rabbitmqctl", path=PLACES)
    if not control:
        raise SystemExit("rabbitmqctl is not here: install RabbitMQ, or name a broker in STACK_BROKER_URL")
    commands = [
        [control, "-q", "add_vhost", vhost],
        [control, "-q", "set_permissions", "-p", vhost, user, ".*", ".*", ".*"],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode and "already exists" not in done.stdout + done.stderr:
            by_hand = "".join(f"\n    sudo {shlex.join(each)}" for each in commands)
            raise SystemExit(f"{(done.stderr or done.stdout).strip()}\nThis is to be done once, as root:{by_hand}")


def lets_in(url: str) -> bool:
    """Whether the broker does."""
    from kombu import Connection

    try:
        with Connection(url, connect_timeout=5) as connection:
            connection.connect()
    except Exception:  # each transport has errors of its own
        return False
    return True


def main(arguments: list[str]) -> int:
    stack = Stack(os.environ)
    match arguments:
        case ["up"]:
            stack.up()
        case ["list"]:
            for process in stack.processes:
                print(f"{process.name:18} {shlex.join(process.command)}")
        case ["restart"]:
            stack.restart()
        case ["manage", *rest]:
            stack.manage(*rest)
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
