"""Whether a server is well: `python -m config.alive 8000 /healthz`, for the health checks of containers.

`/healthz` tells whether it is alive, and `/readyz` whether it can do its work: docs/monitoring.md. It is asked as a
proxy would ask it, by a name that the site goes by. Ends with 0 at 200, and else with 1 and what it said.
"""

import http.client
import sys

from config import env


def main(port: str, path: str) -> int:
    """0 if it is."""
    name = env.words("ALLOWED_HOSTS", default=["localhost"])[0].lstrip(".*") or "localhost"
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=5)
    try:
        connection.request("GET", path, headers={"Host": name})
        answer = connection.getresponse()
        said = answer.read(2000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    print(answer.status, said.strip())
    return int(answer.status != 200)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
