"""The event log for other code: what a host may call.

``subscribe`` a function to what happens, ``record_external_change`` after raw SQL, ``read`` a stream, ask for
``versions``.
"""

from django_pm.events.external import record_external_change
from django_pm.events.feed import Page, Version, as_json, read, version, versions
from django_pm.events.subscribers import subscribe

__all__ = ["Page", "Version", "as_json", "read", "record_external_change", "subscribe", "version", "versions"]
