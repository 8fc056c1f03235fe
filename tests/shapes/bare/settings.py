"""Nothing but what `pip install django-pm` brings: no Celery, Channels, Redis or Prometheus.

What an extra would bring is hidden from imports here, as if it were not installed. A site has nothing to do for this.
"""

from importlib.machinery import PathFinder

from tests.shapes.site import *  # noqa: F403

EXTRAS = {
    *("celery", "kombu", "channels", "channels_redis", "daphne", "django_redis", "httpx", "markdown_it", "nh3"),
    *("prometheus_client", "redis", "uvicorn", "websockets"),
}

found = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in EXTRAS else found(name, *rest)  # type: ignore[method-assign]
