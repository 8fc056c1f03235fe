"""Tasks with a column of the site's own, read, written and filtered by over the API."""

from tests.shapes.site import *  # noqa: F403
from tests.shapes.site import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.shapes.side_table"]
ROOT_URLCONF = "tests.shapes.side_table.urls"
