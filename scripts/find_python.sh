#!/bin/sh
# Prints the name of a Python that can carry this project: 3.11 or newer and able to make virtual environments.
#
#   find_python.sh            looks at python3, python3.14, … python3.11
#   find_python.sh COMMAND    looks at that one alone
#
# Each is asked, not judged by its name: a version manager leaves names on the path that run nothing.

[ $# -gt 0 ] || set -- python3 python3.14 python3.13 python3.12 python3.11
asked="$*"
without_venv=

for python in "$@"; do
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue
    if "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        printf '%s\n' "$python"
        exit 0
    fi
    without_venv=${without_venv:-$python}
done

if [ -n "$without_venv" ]; then
    echo "$without_venv cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2
else
    echo "Python 3.11 or newer is needed and none was found (tried: $asked). Or name one: make demo PYTHON=/path/to/python3" >&2
fi
exit 1
