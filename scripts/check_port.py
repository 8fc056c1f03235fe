"""Says whether a server may listen on a port of this machine: `check_port.py PORT`.

Asked before anything is installed or started, so that a port in use costs one clear line and not a traceback
at the end. Exit status 0: free. 1: in use or not allowed. 2: not a port.
"""

import socket
import sys

HOST = "127.0.0.1"


def complaint(port: int) -> str | None:
    """Return why nothing can listen on the port, or None if it is free."""
    with socket.socket() as probe:
        probe.settimeout(1)
        # A listener on all addresses does not keep every system from giving out the loopback address once
        # more. Then both listen, and who gets the requests is a surprise: so ask for an answer first.
        if probe.connect_ex((HOST, port)) == 0:
            return "is in use already"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: ignores closing connections
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return f"cannot be used: {error.strerror}"
    return None


def main(arguments: list[str]) -> int:
    """Check the port named on the command line."""
    try:
        port = int(arguments[0]) if len(arguments) == 1 else 0
    except ValueError:
        port = 0
    if not 0 < port < 65536:
        sys.stderr.write(f"Not a port: {' '.join(arguments) or 'nothing given'}. Use a number from 1 to 65535.\n")
        return 2
    if problem := complaint(port):
        other = port + 1 if port < 65535 else 8000
        sys.stderr.write(f"Port {port} {problem}. Take another one, for instance: make demo PORT={other}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
