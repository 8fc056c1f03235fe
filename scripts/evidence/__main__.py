"""Captures what docs/evidence/ shows, from the real things.

    python -m scripts.evidence                          everything; `make evidence` calls it
    python -m scripts.evidence services pages           the logs of the services; the screenshots
    python -m scripts.evidence suite -- tests/access    what the tests say at their end; with these arguments

`services` starts the stack of scripts/stack.py on a database, a RabbitMQ and a Redis of its own, `pages` the demo and
Chromium, `suite` the tests. It needs the `browser` dependency group, and PostgreSQL where the tests look for it.
"""

import os
import sys


def main(arguments: list[str]) -> int:
    names = arguments[: arguments.index("--")] if "--" in arguments else arguments
    rest = arguments[len(names) + 1 :]
    if unknown := set(names) - {"services", "pages", "suite"}:
        print(f"unknown: {', '.join(sorted(unknown))}\n{__doc__}", file=sys.stderr)
        return 2

    os.environ.setdefault("PM_TEST_DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from scripts.evidence import pages, services, suite

    for name in names or ("services", "pages", "suite"):
        match name:
            case "services":
                services.capture()
            case "pages":
                pages.capture()
            case "suite":
                suite.capture(rest)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
