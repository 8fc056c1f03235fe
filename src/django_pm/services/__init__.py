"""What has rules: one function per verb, keyword-only, the acting user explicit.

Views, admin, tasks and a host's own code call these, so a rule is told once. A service checks the state of the
project; whether the actor may is asked of ``access``. Each runs in a transaction of its own or joins the caller's.
"""
