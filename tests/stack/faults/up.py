"""`scripts/stack.py` for a site with an app more, which lies in the stack's folder: `python up.py up`, `restart`, …"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))

import stack


class Stack(stack.Stack):
    """With the app in the environment of every service."""

    def environment(self, service: str) -> dict[str, str]:
        host = {"PYTHONPATH": str(self.folder / "host"), "DJANGO_SETTINGS_MODULE": "host_settings"}
        return super().environment(service) | host


if __name__ == "__main__":
    stack.Stack = Stack  # type: ignore[misc]
    sys.exit(stack.main(sys.argv[1:]))
