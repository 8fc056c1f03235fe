"""Makes sure that this environment holds none of the package's optional dependencies.

tox calls it in `base`, before the suite runs there: a suite that passes because an extra happens to be
installed says nothing about a site without it.
"""

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

# These are tools of the suite itself, and so present wherever it runs.
TOOLS = {"client", "testing"}


def name_of(requirement: str) -> str:
    """The normalised name at the head of a requirement: `uvicorn` of `uvicorn[standard]>=0.35`."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]).lower()


def main() -> int:
    text = (Path(__file__).resolve().parent.parent / "pyproject.toml").read_text()
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    optional = {
        name_of(requirement): extra
        for extra, requirements in extras.items()
        if extra not in TOOLS
        for requirement in requirements
    }
    del optional["django-pm"]  # `all` names the package itself with every extra
    installed = {name_of(found.name) for found in metadata.distributions()}
    present = sorted(optional.keys() & installed)
    for name in present:
        print(f"{name} (extra {optional[name]}) is installed: `base` must run without it", file=sys.stderr)
    print(f"not installed, as it should be: {', '.join(sorted(optional.keys() - installed))}")
    return 1 if present else 0


if __name__ == "__main__":
    sys.exit(main())
