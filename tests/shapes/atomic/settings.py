"""`ATOMIC_REQUESTS`: each of the site's own views is one transaction."""

from tests.shapes.site import *  # noqa: F403
from tests.shapes.site import DATABASES

DATABASES["default"]["ATOMIC_REQUESTS"] = True
ROOT_URLCONF = "tests.shapes.atomic.urls"
MIDDLEWARE = [*MIDDLEWARE, "django_pm.middleware.actor_middleware"]  # noqa: F405 (says who changes things in these views)
