"""Builds the distributions, looks into them and does with the wheel what a site owner does.

    python scripts/check_wheel.py            needs the `package` dependency group

The steps: sdist, and the wheel from it; `twine check --strict`; the wheel holds the package whole and nothing
else; a fresh environment gets the wheel alone; in it a `startproject` installs the app as README says,
migrates and answers over HTTP. A failure ends the script with what was expected.
"""

import base64
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "django_pm"

# Beside the modules, whose absence would be noticed at once.
PARTS = (
    "django_pm/py.typed",
    "django_pm/locale/ar/LC_MESSAGES/django.mo",
    "django_pm/locale/de/LC_MESSAGES/django.mo",
    "django_pm/migrations/0001_",
    "django_pm/migrations/0002_",
    "django_pm/templates/django_pm/",
    "django_pm/static/django_pm/api-docs.js",
    "django_pm/static/django_pm/pm-client.js",
)

LOGIN = ("ada", "wheel-check")
START_SECONDS = 30

# What README asks of a site.
SETTINGS = """
INSTALLED_APPS += ["rest_framework", "django_filters", "django_pm"]
"""

# What the system checks then advise.
HEEDED = """
DATABASES["default"]["OPTIONS"] = {"transaction_mode": "IMMEDIATE"}
"""

URLS = """
from django.urls import include

urlpatterns += [path("", include("django_pm.api.urls"))]
"""


def say(text: str) -> None:
    print(text, flush=True)


def expect(condition: object, what: str) -> None:
    if not condition:
        say(f"FAILED: {what}")
        sys.exit(1)
    say(f"ok: {what}")


def run(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    """Runs a command quietly; when it fails, shows all it said and ends the script."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        say(done.stdout)
    expect(done.returncode == 0, " ".join(Path(str(part)).name for part in command))
    return done.stdout


def build(into: Path) -> Path:
    run(sys.executable, "-m", "build", "--outdir", into)
    distributions = sorted(into.iterdir())
    wheels = [path for path in distributions if path.suffix == ".whl"]
    expect(len(distributions) == 2 and len(wheels) == 1, "one sdist and one wheel")
    run(sys.executable, "-m", "twine", "check", "--strict", *distributions)
    return wheels[0]


def check_contents(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    info = next(name.split("/")[0] for name in names if ".dist-info/" in name)
    expect({name.split("/")[0] for name in names} == {"django_pm", info}, "no top-level name but the package")
    expect(f"{info}/licenses/LICENSE" in names, "the licence is in it")

    source = {
        f"django_pm/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in names if name.startswith("django_pm/")}
    expect(
        packed == source,
        f"the {len(source)} files of the package, all and no more (difference {sorted(packed ^ source)[:5]})",
    )
    for part in PARTS:
        expect(any(name.startswith(part) for name in packed), f"{part}… is among them")
    expect(not any(re.search(r"(^|/)(tests|conftest\.py)(/|$)", name) for name in names), "no tests")


def make_site(wheel: Path, folder: Path) -> Path:
    """A fresh environment with the wheel, and in it a `startproject` with the app; returns its Python."""
    environment = folder / "environment"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    run(python, "-m", "pip", "check")
    run(python, "-m", "django", "startproject", "host", folder)
    for name, lines in (("settings.py", SETTINGS), ("urls.py", URLS)):
        path = folder / "host" / name
        path.write_text(path.read_text() + lines)

    manage = (python, "-W", "error", "manage.py")
    run(*manage, "check", cwd=folder)
    run(*manage, "migrate", "--verbosity", "0", cwd=folder)
    run(*manage, "makemigrations", "--check", "--dry-run", cwd=folder)
    settings = folder / "host" / "settings.py"
    settings.write_text(settings.read_text() + HEEDED)
    run(*manage, "check", "--fail-level", "WARNING", cwd=folder)
    run(
        *manage,
        *("createsuperuser", "--noinput", "--username", LOGIN[0], "--email", "ada@example.org"),
        cwd=folder,
        env={"DJANGO_SUPERUSER_PASSWORD": LOGIN[1]},
    )
    return python


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(python: Path, folder: Path) -> Iterator[str]:
    """The site behind Django's development server; its base URL."""
    base = f"http://127.0.0.1:{free_port()}/"
    with (folder / "server.log").open("wb") as log:
        command = [str(python), "manage.py", "runserver", "--noreload", urlsplit(base).netloc]
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            until = time.monotonic() + START_SECONDS
            while server.poll() is None and time.monotonic() < until:
                with contextlib.suppress(urllib.error.HTTPError, OSError):
                    urllib.request.urlopen(base + "admin/login/", timeout=5)  # noqa: S310 (our own server)
                    break
                time.sleep(0.2)
            yield base
        except SystemExit:
            say((folder / "server.log").read_text())
            raise
        finally:
            server.terminate()
            server.wait()


def ask(url: str, *, signed_in: bool = True, body: object = None) -> tuple[int, str]:
    """Status and text of a GET, or of a POST where there is a body."""
    request = urllib.request.Request(url)  # noqa: S310 (our own server)
    if signed_in:
        request.add_header("Authorization", f"Basic {base64.b64encode(':'.join(LOGIN).encode()).decode()}")
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310
            return response.status, response.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def check_site(base: str) -> None:
    status, _ = ask(base + "projects/", signed_in=False)
    expect(status in (401, 403), f"GET /projects/ without signing in is refused ({status})")
    status, text = ask(base + "projects/", body={"name": "From the wheel"})
    expect(status == 201, f"POST /projects/ makes one ({status} {text[:200]})")
    status, text = ask(base + "projects/")
    expect(
        status == 200 and [p["name"] for p in json.loads(text)["results"]] == ["From the wheel"],
        f"GET /projects/ lists it ({status})",
    )
    status, text = ask(base + "schema/?format=json")
    expect(
        status == 200 and json.loads(text)["openapi"].startswith("3."),
        f"GET /schema/ is OpenAPI 3 ({status})",
    )

    status, page = ask(base + "docs/")
    expect(status == 200, f"GET /docs/ is a page ({status})")
    parts = re.findall(r"""<(?:script|link|img)\b[^>]*?(?:src|href)=["']([^"']+)""", page)
    parts = [urljoin(base + "docs/", part) for part in parts if not part.startswith("data:")]
    foreign = [part for part in parts if not part.startswith(base)]
    expect(
        parts and not foreign,
        f"its {len(parts)} scripts and styles come from the site itself (from elsewhere: {foreign})",
    )
    missing = [part for part in parts if ask(part)[0] != 200]
    expect(not missing, f"and each is there ({len(missing)} missing {missing[:3]})")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="django-pm-wheel-") as temporary:
        folder = Path(temporary)
        wheel = build(folder / "dist")
        check_contents(wheel)
        site = folder / "site"
        site.mkdir()
        python = make_site(wheel, site)
        with serving(python, site) as base:
            check_site(base)
        say(f"{wheel.name}: built, complete, and at work in a fresh site")
    return 0


if __name__ == "__main__":
    sys.exit(main())
