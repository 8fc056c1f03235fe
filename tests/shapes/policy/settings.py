"""A policy of the site's own: roles as usual, and auditors, who read everything."""

from tests.shapes.site import *  # noqa: F403

DJANGO_PM = {"SITE_URL": "https://site.example", "POLICY": "tests.shapes.policy.policies.AuditPolicy"}
