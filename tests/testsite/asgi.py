"""The test host as the servers that tests start serve it: an ASGI application, for a process of its own.

`PM_TEST_PACE` changes how often the hub looks, and how long it leaves a layer alone that failed: JSON, e.g.
`{"hub.POLL_SECONDS": 60}` for constants of the modules of `django_pm.realtime`.
"""

import importlib
import json
import os

from django.core.asgi import get_asgi_application

http = get_asgi_application()

from django_pm.realtime.asgi import with_notifications  # noqa: E402 (the apps must be ready)

for name, value in json.loads(os.environ.get("PM_TEST_PACE") or "{}").items():
    module, constant = name.split(".")
    here = importlib.import_module(f"django_pm.realtime.{module}")
    if not hasattr(here, constant):
        raise AttributeError(name)
    setattr(here, constant, value)

application = with_notifications(http)
