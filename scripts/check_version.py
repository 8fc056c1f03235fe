"""Makes sure that a tag names the version that the package says it has, and that the changelog tells of it.

    python scripts/check_version.py v0.1.0

The version stands in `src/django_pm/__init__.py` and nowhere else. It needs the standard library alone.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def problems(tag: str) -> list[str]:
    """Why `tag` cannot be released; nothing if it can."""
    source = (ROOT / "src" / "django_pm" / "__init__.py").read_text(encoding="utf-8")
    (version,) = re.findall(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    found = []
    if tag != f"v{version}":
        found.append(f"The tag is {tag}, the version of the package {version}: the tag has to be v{version}.")
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version):
        found.append(f"{version} is no version to release: write one like 0.2.0 or 0.2.0rc1 into __init__.py.")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        found.append(f"CHANGELOG.md has no heading “## [{version}] - <date>”: give “Unreleased” that name.")
    return found


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    found = problems(sys.argv[1])
    print("\n".join(found) or f"{sys.argv[1]} can be released.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
