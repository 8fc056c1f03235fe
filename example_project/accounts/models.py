"""A custom user model, as most sites have one: django-pm works with whatever AUTH_USER_MODEL names."""

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """Django's user and what this site wants to know besides."""

    job_title = models.CharField(max_length=100, blank=True)
