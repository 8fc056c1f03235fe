"""System checks: a misconfiguration is told at start, with what to do, before it can do harm.

Errors stand where nothing could work, warnings where a site may have its reasons. Ids are never reused.

``own`` is about ``DJANGO_PM``, ``surroundings`` about what else of the site's settings we stand on, and ``deployment``
about what matters in production alone (``check --deploy``). ``AppConfig.ready`` imports this package, and with it all.
"""

from django_pm.checks import deployment, own, surroundings

__all__ = ["deployment", "own", "surroundings"]
