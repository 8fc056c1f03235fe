"""Mail: what is queued in ``models/mail.py`` is written and sent, one message for each recipient.

``sending`` claims it, and sends it over one connection for many. ``letters`` says what each message says, ``mime``
makes its bytes, ``smtp`` hands it to the server, and ``journal`` notes what becomes of it before the next one leaves.
Who queues it, and when, are the services: reminders, reports, notifications.
"""
