"""The example site as an ASGI application: `uvicorn config.asgi:application` and the like."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_asgi_application()
