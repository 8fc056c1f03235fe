"""The paths of the REST API, as docs/openapi.json has them. A test holds that document against the code."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from scripts.reference import markdown

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
VERBS = ("get", "post", "put", "patch", "delete")


def tables() -> str:
    """A table for each group of paths."""
    groups: dict[str, list[list[str]]] = defaultdict(list)
    for path, item in json.loads(DOCUMENT.read_text(encoding="utf-8"))["paths"].items():
        operations = {verb: item[verb] for verb in VERBS if verb in item}
        [group] = {tag for operation in operations.values() for tag in operation["tags"]}
        groups[group].append(row(path, operations))
    head = ["path", "verbs", "what it is", "query parameters", "headers"]
    return "\n\n".join(f"### {group}\n\n{markdown.table(head, groups[group])}" for group in sorted(groups))


def row(path: str, operations: dict[str, Any]) -> list[str]:
    """One path: its verbs, what it is, and what can be said in the query and the headers."""
    parameters: dict[str, dict[str, None]] = {"query": {}, "header": {}, "path": {}}
    for operation in operations.values():
        for parameter in operation.get("parameters", []):
            parameters[parameter["in"]][f"`{parameter['name']}`"] = None
    descriptions = dict.fromkeys(markdown.beginning(operation["description"]) for operation in operations.values())
    return [
        f"`{path}`",
        ", ".join(verb.upper() for verb in operations),
        markdown.cell(" ".join(descriptions)),
        ", ".join(parameters["query"]),
        ", ".join(parameters["header"]),
    ]
