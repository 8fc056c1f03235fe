"""The WebSockets of the example site: `uvicorn config.sockets:application`. Of HTTP, it answers probes alone.

HTTP is served beside it by `config.wsgi`, and a proxy sends each what is its own: docs/serving.md.
"""

import os
from importlib import import_module

import django

from config import env

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
env.set_unless_set("DATABASE_POOL", "7")  # as many as the threads that read for the sockets

django.setup(set_prefix=False)

from django_pm.health.asgi import with_health  # noqa: E402 (the apps must be ready)
from django_pm.realtime.asgi import only_sockets, with_notifications  # noqa: E402

application = with_notifications(with_health(only_sockets))
if env.text("BROKER_URL"):
    import_module("config.celery")  # so that /readyz looks at the broker too
