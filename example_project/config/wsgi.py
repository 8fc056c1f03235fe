"""HTTP of the example site: `granian --interface wsgi config.wsgi:application`, `gunicorn config.wsgi` and the like.

The WebSockets are served beside it by `config.sockets`: docs/serving.md.
"""

import os
from importlib import import_module

from django.core.wsgi import get_wsgi_application

from config import env

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()
if env.text("BROKER_URL"):
    import_module("config.celery")  # so that /readyz looks at the broker too
