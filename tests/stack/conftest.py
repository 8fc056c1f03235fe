"""`scripts/stack.py`, as a module and at work."""

import importlib.util
import sys
from types import ModuleType

import pytest
import yaml

from tests.example.site import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SITE = ROOT / "example_project"
SCRIPT = ROOT / "scripts" / "stack.py"


def load() -> ModuleType:
    """The script, imported."""
    spec = importlib.util.spec_from_file_location("stack", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["stack"] = module  # where its named tuples look for their annotations
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def stack() -> ModuleType:
    return load()
