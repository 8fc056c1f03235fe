"""The test host behind a WSGI server with a thread for each connection: `python -m … port`."""

import sys
from typing import Any

import django


def main(port: str) -> None:
    django.setup()
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
    from django.core.wsgi import get_wsgi_application

    from django_pm.api import lists

    # The writer never rests, so that the cache is not worth while for the readers; here they are to meet it.
    lists.worth.is_worth = lambda reader: True  # type: ignore[method-assign]

    class Handler(WSGIRequestHandler):
        disable_nagle_algorithm = True

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadedWSGIServer(("127.0.0.1", int(port)), Handler)
    server.set_app(get_wsgi_application())
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
