"""The tables of django-pm in Django's admin. What is changed there is recorded as done by the one signed in.

Two have to agree before staff get to do something: Django's model permissions, as everywhere in the admin, and the
policy, as everywhere in django-pm. Importing this registers all of it; Django does when the admin starts.
"""

from django_pm.admin import clients, log, projects, rules, telling

__all__ = ["clients", "log", "projects", "rules", "telling"]
