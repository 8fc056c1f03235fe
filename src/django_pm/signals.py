"""Public signals. They are sent after commit and only ever wake something that would have run anyway."""

from django.dispatch import Signal

events_committed = Signal()
"""Events became visible. Arguments: ``project_ids`` (a set of project keys) and ``using`` (the database alias).

Sent once per transaction, with ``send_robust``: a receiver that fails is logged and harms nobody.
"""
