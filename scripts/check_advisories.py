"""Says whether what is installed here has known vulnerabilities. `make audit` calls it.

    python scripts/check_advisories.py       needs the `lint` dependency group

pip-audit asks PyPI for the advisories of each package. It passes over in silence what PyPI does not answer for, so here
it is counted what was looked up. Exit status 0: none known; or PyPI was not reached, which is then said. 1: some known.
2: pip-audit failed for another reason.
"""

import json
import subprocess
import sys
from typing import Any

COMMAND = [sys.executable, "-m", "pip_audit", "--format", "json", "--skip-editable", "--progress-spinner", "off"]
# What `python -m venv` puts there. No site gets them from us.
VENVS_OWN = {"pip", "setuptools"}
# How pip-audit, and the library below it, say that there is no way to PyPI.
NO_WAY = ("Could not connect", "ConnectionError", "ProxyError", "Max retries exceeded", "Timeout")


def verdict(report: str, complaints: str) -> tuple[int, list[str]]:
    """The exit status, and the lines to print, for what pip-audit wrote to its outputs."""
    try:
        packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError):
        last = complaints.strip().splitlines()[-1:] or ["it said nothing"]
        if any(phrase in complaints for phrase in NO_WAY):
            return 0, [f"not exercised: advisories of PyPI, which was not reached: {last[0][:100]}"]
        return 2, [complaints, "pip-audit has failed"]
    packages = [package for package in packages if package["name"] not in VENVS_OWN]
    looked_up = [package for package in packages if "skip_reason" not in package]
    if not looked_up:
        return 0, [f"not exercised: advisories of PyPI, which was not reached for any of {len(packages)} packages"]
    lines = [
        f"{package['name']} {package['version']}: {vulnerability['id']}, "
        f"mended in {', '.join(vulnerability['fix_versions']) or 'no version yet'}"
        for package in looked_up
        for vulnerability in package["vulns"]
    ]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if unknown:
        lines.append(f"PyPI does not answer for {', '.join(unknown)}")
    found = sum(len(package["vulns"]) for package in looked_up)
    lines.append(f"exercised: advisories of PyPI for {len(looked_up)} packages, {found} found")
    return int(found > 0), lines


def main() -> int:
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=False)
    status, lines = verdict(done.stdout, done.stderr)
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
