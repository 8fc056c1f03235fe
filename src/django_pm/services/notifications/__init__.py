"""What people are told: of which events and where, what of it stands in their inbox, and what of it is mailed.

``notifying`` subscribes to the event log and asks ``mentions``, ``watching`` and ``channels``; ``inbox`` reads what it
has written; ``notices`` and ``digests`` say what of that is still to be mailed, ``sentences`` how.
"""
