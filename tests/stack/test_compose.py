"""docker-compose.yml: valid, complete, and without a secret of its own."""

import re
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.example.site import ROOT
from tests.stack.conftest import COMPOSE

TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, Any] = COMPOSE["services"]
SITE = {name: each for name, each in SERVICES.items() if each.get("build", {}).get("target") == "site"}
SECRETS = {"SECRET_KEY", "POSTGRES_PASSWORD", "RABBITMQ_PASSWORD", "REDIS_PASSWORD"}
NAMED = set(re.findall(r"\$\{(\w+)", TEXT))
# Read by the servers themselves, and by Prometheus' library.
SERVERS = {"GRANIAN_HOST", "GRANIAN_PORT", "UVICORN_HOST", "UVICORN_PORT", "PROMETHEUS_MULTIPROC_DIR"}


def test_it_is_what_the_specification_allows() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(ROOT / "docker-compose.yml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_key_comes_twice() -> None:
    """PyYAML takes the last of them without a word; Docker Compose refuses the file."""
    nodes = [yaml.compose(TEXT, yaml.SafeLoader)]
    for node in nodes:
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _value in node.value]
            assert len(keys) == len(set(keys)), f"twice in line {node.start_mark.line + 1}: {keys}"
            nodes += [value for _key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            nodes += node.value
    assert len(nodes) > 200


def test_every_part_is_a_service() -> None:
    workers = {"worker-events", "worker-mail", "worker-reports"}
    around = {"gateway", "postgres", "rabbitmq", "redis", "mailpit"}
    assert set(SERVICES) == {"api", "realtime", "beat", "migrate"} | workers | around


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_kept_within_bounds(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert re.fullmatch(r"\d+s", service["stop_grace_period"])
    assert service["ulimits"]["nofile"]["soft"] >= 2 * 8192, "more files than the gateway has connections"
    assert "inside" in service["networks"]
    assert service.get("build") or re.search(r":v?\d+\.\d+(\.\d+)?(-alpine)?$", service["image"]), "an exact tag"


def test_nothing_starts_before_what_it_needs() -> None:
    for name in set(SITE) - {"migrate"}:
        needs = {other: condition["condition"] for other, condition in SITE[name]["depends_on"].items()}
        assert needs.pop("migrate") == "service_completed_successfully"
        assert needs == dict.fromkeys(("postgres", "rabbitmq", "redis"), "service_healthy")
    for service in SERVICES.values():
        for needed, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy" and not SERVICES[needed].get("build"):
                assert SERVICES[needed]["healthcheck"]["test"]


def test_only_the_gateway_is_reached_from_elsewhere() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"gateway", "mailpit"}


@pytest.mark.parametrize("secret", sorted(SECRETS))
def test_a_secret_has_no_default(secret: str) -> None:
    uses = re.findall(rf"\$\{{{secret}(.)", TEXT.replace(":?", "?"))
    assert uses
    assert set(uses) == {"?"}


@pytest.mark.parametrize("secret", sorted(SECRETS))
def test_without_a_secret_nothing_starts(stack: ModuleType, secret: str) -> None:
    required = dict.fromkeys(re.findall(r"\$\{(\w+):\?", TEXT), "value")
    assert stack.interpolated(COMPOSE, required)
    del required[secret]
    with pytest.raises(SystemExit, match=secret):
        stack.interpolated(COMPOSE, required)


def test_a_rollout_replaces_every_service_of_ours() -> None:
    script = ROOT / "scripts" / "compose_rollout.sh"
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    lines = re.findall(r"^ *docker compose (up --detach|run --rm) (.+)$", script.read_text(), re.MULTILINE)
    replaced = {word for _verb, words in lines for word in words.split() if word in SERVICES}
    assert replaced == {name for name, service in SERVICES.items() if service.get("build")}


def test_the_settings_know_every_variable() -> None:
    source = "".join(path.read_text() for path in (ROOT / "example_project" / "config").glob("*.py"))
    read = set(re.findall(r"""env\.\w+\(["'](\w+)["']""", source))
    for service in SITE.values():
        assert set(service["environment"]) - SERVERS <= read


def test_the_gateway_gets_every_variable_of_its_template() -> None:
    used = set(re.findall(r"\$\{(\w+)\}", (ROOT / "gateway" / "site.conf.template").read_text()))
    environment = SERVICES["gateway"]["environment"]
    assert used == set(environment) - {"NGINX_ENVSUBST_FILTER"}
    assert used == set(re.findall(r"[A-Z_]+", environment["NGINX_ENVSUBST_FILTER"]))


def test_every_variable_is_documented() -> None:
    example = (ROOT / ".env.example").read_text()
    assert set(re.findall(r"^#? ?([A-Z_]+)=", example, re.MULTILINE)) == NAMED
    page = (ROOT / "docs" / "deployment.md").read_text()
    assert set(re.findall(r"`([A-Z_]+)`", page)) >= NAMED
    for line in re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE):
        assert line[0] not in SECRETS or not line[1], "a secret has no value there either"
