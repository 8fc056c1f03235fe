"""The API below a prefix, inside a namespace of the site's own, which has other APIs beside it."""

from tests.shapes.site import *  # noqa: F403

ROOT_URLCONF = "tests.shapes.prefix.urls"
