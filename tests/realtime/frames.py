"""Every frame that the suite's sockets see is held against docs/asyncapi.json, as strictly as no client should.

Clients ignore what they do not know. Here a kind of frame, or a field, that the document does not tell of is a fault:
of the server, or of the document.
"""

import copy
import json
from collections import Counter
from pathlib import Path

from jsonschema import Draft7Validator

DOCUMENT = json.loads((Path(__file__).resolve().parents[2] / "docs" / "asyncapi.json").read_text(encoding="utf-8"))
FROM_CLIENT = {"ping", "resume"}

seen: Counter[str] = Counter()
"""How often each kind of frame was met in this process."""


def _strict(schema):
    """`schema` with no other properties than those it names. What only refines another schema requires none."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _strict(value) for key, value in schema.items()}
    if "properties" in found and "required" in found:
        found.setdefault("additionalProperties", False)
    return found


def _validators():
    components = _strict(copy.deepcopy(DOCUMENT["components"]))
    return {
        message["name"]: Draft7Validator({"allOf": [message["payload"]], "components": components})
        for message in components["messages"].values()
    }


VALIDATORS = _validators()


def check(frame, *, from_client=False):
    """The frame, if the document allows it in this direction."""
    kind = frame["type"]
    assert kind in VALIDATORS, f"docs/asyncapi.json has no such frame: {frame}"
    assert (kind in FROM_CLIENT) == from_client, frame
    wrong = [error.message for error in VALIDATORS[kind].iter_errors(frame)]
    assert not wrong, f"{wrong} in {frame}"
    seen[kind] += 1
    return frame
