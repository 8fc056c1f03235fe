"""What tells a machine how the site does: ``path("", include("django_pm.health.urls"))``. docs/monitoring.md.

urls, views   ``/healthz``, ``/readyz`` and ``/metrics``
asgi          the same for a process that serves nothing but sockets
readiness     asks the checks of ``pm_doctor``, none of them for longer than a moment
middleware    counts and times requests
instruments   what the processes have counted, in the form of Prometheus
facts         what the database says, asked when Prometheus does
"""
