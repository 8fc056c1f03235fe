#!/usr/bin/env python
"""The example site's command line."""

import os
import sys


def main() -> None:
    """Run one management command with the example site's settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit("Django is not installed for this Python. `make demo` sets everything up.") from error
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
