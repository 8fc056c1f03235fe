"""The example site in one process, HTTP and WebSockets: `uvicorn config.asgi:application`, as `make demo` does.

For more than a demo, serve HTTP by `config.wsgi` and the sockets by `config.sockets`: docs/serving.md.
"""

import os
from importlib import import_module

from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

from config import env

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Each request runs in a thread that ends with it, so connections must not belong to threads.
env.set_unless_set("DATABASE_POOL", "10")

http = get_asgi_application()  # sets Django up, which the next line needs

from django_pm.realtime.asgi import with_notifications  # noqa: E402

if settings.DEBUG:
    http = ASGIStaticFilesHandler(http)  # what `runserver` does by itself; elsewhere the proxy serves STATIC_ROOT

application = with_notifications(http)
if env.text("BROKER_URL"):
    import_module("config.celery")  # so that /readyz looks at the broker too
