"""Whether a server answers: `python -m config.alive 8000 /accounts/login/`, for the health checks of containers.

Any answer but a 5xx is one; a redirect to https, or the 426 of the sockets' server, says as much as a page.
"""

import http.client
import sys


def main(port: str, path: str) -> int:
    """0 if it does."""
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=5)
    try:
        connection.request("GET", path)
        return int(connection.getresponse().status >= 500)
    except OSError as error:
        print(error)
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
