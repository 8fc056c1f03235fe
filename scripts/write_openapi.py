"""Writes docs/openapi.json and docs/asyncapi.json as the test host has them. `make openapi` calls it.

    python scripts/write_openapi.py

It needs an environment with the `test` dependency group, and no database. The documents are committed so that a change
of the API, or of the notifications, shows in review; tests/api/test_openapi.py and tests/realtime/test_asyncapi.py fail
while they differ.
"""

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def main() -> int:
    sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    # The types of user keys are the host's: they are told for Django's own users.
    os.environ["PM_TEST_USER_MODEL"] = "auth.User"

    import django
    from django.test import Client

    django.setup()
    response = Client().get("/schema/")
    if response.status_code != 200:
        print(f"/schema/ answered {response.status_code}", file=sys.stderr)
        return 1
    openapi = response.json()
    write("openapi.json", openapi)

    from django_pm.realtime import asyncapi

    write("asyncapi.json", asyncapi.document(openapi))
    return 0


def write(name: str, document: dict) -> None:
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    (DOCS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
