"""Builds the distributions, looks into them and does with the wheel what a site owner does.

    python scripts/check_wheel.py            needs the `package` dependency group
    python scripts/check_wheel.py --into release    and leaves there what was found to be right

The steps: sdist, and the wheel from it; `twine check --strict`; the sdist holds what is needed to build, test and read;
the wheel holds the package whole and nothing else; a fresh environment gets the wheel alone, whose version is that of
the source; in it a `startproject` installs the app as README says, migrates and answers over HTTP; and what that
environment holds is told as a bill of materials (CycloneDX). A failure ends the script with what was expected.
"""

import argparse
import base64
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import uuid
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
    "django_pm/migrations/0009_",
    "django_pm/templates/django_pm/mail/",
    "django_pm/templates/admin/django_pm/",
    "django_pm/static/django_pm/api-docs.js",
    "django_pm/static/django_pm/pm-client.js",
)

# What somebody needs who packages it for a distribution, or who has the sdist alone.
SOURCES = ("src/django_pm/", "tests/", "docs/", "example_project/", "scripts/", "pyproject.toml", "tox.ini", "Makefile")
PAGES = ("README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")

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


def build(into: Path) -> tuple[Path, Path]:
    """The sdist, and the wheel that was made from it."""
    run(sys.executable, "-m", "build", "--outdir", into)
    distributions = sorted(into.iterdir())
    wheels = [path for path in distributions if path.suffix == ".whl"]
    expect(len(distributions) == 2 and len(wheels) == 1, "one sdist and one wheel")
    run(sys.executable, "-m", "twine", "check", "--strict", *distributions)
    (sdist,) = (path for path in distributions if path.suffix != ".whl")
    return sdist, wheels[0]


def check_sdist(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for part in (*SOURCES, *PAGES):
        expect(any(name == part or name.startswith(part) for name in names), f"{part} is in the sdist")
    unwanted = [
        name
        for name in names
        if re.search(r"(^|/)(\.(?!env\.example|dockerignore|gitignore)|__pycache__|\w+\.pyc)", name)
    ]
    expect(not unwanted, f"and nothing that a checkout leaves behind ({sorted(unwanted)[:3]})")


def translations(packed: set[str]) -> None:
    """Each catalogue compiled, where there are some: a wheel without the compiled ones is a site in English."""
    catalogues = {name for name in packed if name.endswith(".po")}
    missing = {name for name in catalogues if name.removesuffix(".po") + ".mo" not in packed}
    expect(not missing, f"the {len(catalogues)} catalogues are compiled (missing {sorted(missing)[:3]})")


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
    translations(packed)
    expect(not any(re.search(r"(^|/)(tests|conftest\.py)(/|$)", name) for name in names), "no tests")


def make_site(wheel: Path, folder: Path) -> Path:
    """A fresh environment with the wheel, and in it a `startproject` with the app; returns its Python."""
    environment = folder / "environment"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    run(python, "-m", "pip", "check")
    told = run(python, "-c", "import django_pm; print(django_pm.__version__)", cwd=folder).strip()
    expect(wheel.name.split("-")[1] == told, f"the version of the wheel is that of the package ({told})")
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


def write_bill(python: Path, into: Path) -> Path:
    """The bill of materials: what a site gets with the wheel, and nothing of what built it."""
    bill = into / "sbom.cdx.json"
    run(
        sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--of", "JSON", "-o", bill, python
    )
    told = json.loads(bill.read_text())
    # Where it is to be reproducible the tool leaves the number out, and GitHub attests no bill without one.
    told["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(told, sort_keys=True)).urn
    bill.write_text(json.dumps(told, indent=2) + "\n")
    names = {component["name"].lower() for component in told["components"]}
    expect(
        {"django", "django-pm", "djangorestframework"} <= names, f"the bill of materials names {len(names)} packages"
    )
    expect(not names & {"build", "twine", "pytest"}, "and none that a site does not get")
    return bill


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the distributions and try them out.")
    parser.add_argument(
        "--into", type=Path, help="leave dist/ and the bill of materials, sbom.cdx.json, in this folder"
    )
    into = parser.parse_args().into
    with tempfile.TemporaryDirectory(prefix="django-pm-wheel-") as temporary:
        folder = Path(temporary)
        sdist, wheel = build(folder / "dist")
        check_sdist(sdist)
        check_contents(wheel)
        site = folder / "site"
        site.mkdir()
        python = make_site(wheel, site)
        with serving(python, site) as base:
            check_site(base)
        bill = write_bill(python, folder)
        if into is not None:
            (into / "dist").mkdir(parents=True, exist_ok=True)
            for made, place in ((sdist, into / "dist"), (wheel, into / "dist"), (bill, into)):
                shutil.copy2(made, place)
        say(f"{wheel.name}: built, complete, and at work in a fresh site")
    return 0


if __name__ == "__main__":
    sys.exit(main())
