"""What `make stack` starts is what docker-compose.yml says."""

import configparser
from types import ModuleType

import pytest
from supervisor.datatypes import dict_of_key_value_pairs

from tests.stack.test_compose import SERVERS, SERVICES, SITE

BESIDE = {"mailpit", "migrate", "postgres", "rabbitmq", "redis"}
"""What the machine has, or what is done once."""


def test_the_services_are_those_of_the_compose_file(stack: ModuleType) -> None:
    processes = stack.Stack({}).processes
    assert {process.service for process in processes} == set(SERVICES) - BESIDE
    for process in processes:
        service = SERVICES[process.service]
        assert set(process.environment) == set(service["environment"])
        assert f"{process.seconds_to_end}s" == service["stop_grace_period"]
        if process.service != "gateway":
            assert process.command == service["command"]


def test_values_differ_only_where_they_name_a_container(stack: ModuleType) -> None:
    variables = {**stack.DEFAULTS, "SITE_URL": "http://127.0.0.1:8080", "EMAIL_PORT": "1025"}
    composed = stack.interpolated(SERVICES, variables)
    for process in stack.Stack({}).processes:
        if process.service in SITE:
            theirs = composed[process.service]["environment"]
            different = {name for name, value in process.environment.items() if value != theirs[name]}
            assert different - SERVERS == {"DATABASE_URL", "BROKER_URL", "REDIS_URL", "PM_DATA_DIR"}


def test_replicas_have_ports_of_their_own(stack: ModuleType) -> None:
    made = stack.Stack({"API_REPLICAS": "3", "REALTIME_REPLICAS": "1", "STACK_PORT": "9000"})
    names = [process.name for process in made.processes]
    assert names[:5] == ["gateway-1", "api-1", "api-2", "api-3", "realtime-1"]
    ports = [
        value
        for process in made.processes
        for name, value in process.environment.items()
        if name in ("GRANIAN_PORT", "UVICORN_PORT")
    ]
    assert ports == ["9001", "9002", "9003", "9004"]
    for port in ports:
        assert made.nginx().count(f"server 127.0.0.1:{port} max_fails=0;") == 1


def test_a_replica_is_spared(stack: ModuleType) -> None:
    made = stack.Stack({"STACK_PORT": "9000"})
    (spared,) = (process for process in made.processes if process.name == "api-2")
    conf = made.nginx(spared)
    assert conf.count("down") == 1
    assert "server 127.0.0.1:9002 down max_fails=0;" in conf
    assert "server 127.0.0.1:9001 max_fails=0;" in conf


def test_supervisord_reads_every_value_as_it_is(stack: ModuleType) -> None:
    key = r"with 'quotes', 100 %, a comma, a \n backslash; and # more"
    parser = configparser.RawConfigParser()
    parser.read_string(stack.Stack({"SECRET_KEY": key}).supervisor())
    environment = dict_of_key_value_pairs(parser["program:api-1"]["environment"] % {})
    assert environment["SECRET_KEY"] == key


def test_what_supervisord_cannot_read_is_refused(stack: ModuleType) -> None:
    with pytest.raises(SystemExit, match="quotation mark"):
        stack.Stack({"SECRET_KEY": 'a "quoted" key'}).supervisor()


@pytest.mark.parametrize("section", ["api-2", "worker-mail-1", "gateway-1"])
def test_what_ends_is_started_again(stack: ModuleType, section: str) -> None:
    parser = configparser.RawConfigParser()
    parser.read_string(stack.Stack({}).supervisor())
    assert parser[f"program:{section}"]["autorestart"] == "true"
