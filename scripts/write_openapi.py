"""Writes docs/openapi.json: the OpenAPI document as the test host serves it. `make openapi` calls it.

    python scripts/write_openapi.py

It needs an environment with the `test` dependency group, and no database. The document is committed so that a change
of the API shows in review; tests/api/test_openapi.py fails while the two differ.
"""

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "openapi.json"


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
    DOCUMENT.write_text(json.dumps(response.json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
