"""django-pm, and the users that it points at, in a database beside the one that the site has had all along."""

from tests.shapes.site import *  # noqa: F403
from tests.shapes.site import DATABASES, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.shapes.alias"]

DATABASES = {"default": DATABASES["default"], "projects": {**DATABASES["default"]}}
DATABASE_ROUTERS = ["tests.shapes.alias.router.ProjectsRouter"]
