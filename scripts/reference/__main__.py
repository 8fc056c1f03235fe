"""Writes those parts anew: `make reference` calls it.

    python -m scripts.reference

It needs an environment with the `test` dependency group, and no database.
"""

import os
import sys


def main() -> int:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from scripts.reference.pages import PAGES, written

    for page in PAGES:
        page.write_text(written(page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
