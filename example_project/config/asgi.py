"""The example site as an ASGI application, live notifications included: `uvicorn config.asgi:application`."""

import os

from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

http = get_asgi_application()  # sets Django up, which the next line needs

from django_pm.realtime.asgi import with_notifications  # noqa: E402

if settings.DEBUG:
    http = ASGIStaticFilesHandler(http)  # what `runserver` does by itself; elsewhere the proxy serves STATIC_ROOT

application = with_notifications(http)
