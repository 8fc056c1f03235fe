"""Several tenants, each at a domain of its own: which one a request came to decides which projects are seen."""

from tests.shapes.site import *  # noqa: F403
from tests.shapes.site import INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = [*INSTALLED_APPS, "tests.shapes.tenants.apps.TenantsConfig"]
MIDDLEWARE = ["tests.shapes.tenants.tenancy.domain_middleware", *MIDDLEWARE]

FIRST_DOMAIN = "testserver"
"""Of the tenant that users belong to who are not made in a request, such as by `createsuperuser`."""

DJANGO_PM = {"SITE_URL": "https://site.example", "POLICY": "tests.shapes.tenants.policies.TenantPolicy"}
