"""The Dockerfile, and what nginx says of the gateway's configuration."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.example.site import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
STAGES = re.split(r"^(?=FROM )", DOCKERFILE, flags=re.MULTILINE)[1:]
FINAL = [stage for stage in STAGES if re.match(r"FROM \S+ AS (site|gateway)\n", stage)]


def test_the_linter_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([str(hadolint), str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_each_base_is_exact() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 3
    assert [base for base in bases if not re.search(r":\d+\.\d+\.\d+-", base)] == []


@pytest.mark.parametrize("stage", FINAL, ids=lambda stage: stage.split()[3])
def test_an_image_is_small_and_has_no_root(stage: str) -> None:
    assert re.findall(r"^USER (\w+)$", stage, re.MULTILINE)[-1].isdigit()
    assert "\nHEALTHCHECK " in stage
    assert " pip install" not in stage, "what builds stays in the first stage"
    assert "COPY . " not in stage


def test_no_secret_is_baked_in() -> None:
    assert not re.search(r"SECRET|PASSWORD|TOKEN|^ARG", DOCKERFILE, re.MULTILINE)


def test_only_what_is_copied_is_sent_to_the_builder() -> None:
    first, *others = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("", "#")]
    sent = {line[1:] for line in others if line.startswith("!")}
    copied = {
        source.split("/")[0]
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
        for source in line.split()
    }
    assert first == "*"
    assert sent == copied


@pytest.mark.parametrize("proto", ["$$scheme", "https"])
def test_nginx_takes_the_configuration(stack: ModuleType, tmp_path: Path, proto: str) -> None:
    nginx = shutil.which("nginx", path=stack.PLACES)
    assert nginx, "nginx is not installed: scripts/ensure_services.sh does that"
    variables = {"STACK_FOLDER": str(tmp_path), "STACK_PORT": "18080"}
    if proto != "$$scheme":
        variables["FORWARDED_PROTO"] = proto
    text = stack.Stack(variables).nginx()
    assert f"X-Forwarded-Proto {proto.removeprefix('$')};" in text
    (tmp_path / "nginx.conf").write_text(text)
    command = [nginx, "-t", "-e", "stderr", "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr
