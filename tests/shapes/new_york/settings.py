"""A site whose clocks are put back and forth: `TIME_ZONE` is America/New_York."""

from tests.shapes.site import *  # noqa: F403

TIME_ZONE = "America/New_York"
