"""Settings of the package's own test host: a small Django site that does nothing but install django-pm.

Environment variables turn it into the other hosts that the package promises to work in:

`PM_TEST_DATABASE_URL`
    where the tests keep their data; SQLite in memory unless set. `scripts/run_tests.py` sets it.
`PM_TEST_POOLED`
    for processes that tests start: `1`: as behind a pooler that gives each transaction a connection of others.
`PM_TEST_SMTP_PORT`
    for processes that tests start: where their mail goes.
`PM_TEST_USER_MODEL`
    `auth.User` (the default) or `testsite.Member`: UUID keys, e-mail login, no `username`.
`PM_TEST_CHANNEL_LAYERS`
    `CHANNEL_LAYERS` as JSON, for the servers that tests start; none unless set.
"""

import hashlib
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import dj_database_url
import django

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = "not a secret: this site exists only while tests run"
DEBUG = False
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "django_pm",
    "tests.testsite",
]
if find_spec("django_celery_beat"):  # in tox's environment `beat` alone
    INSTALLED_APPS.append("django_celery_beat")

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

ROOT_URLCONF = "tests.urls"

database = dj_database_url.parse(os.environ.get("PM_TEST_DATABASE_URL") or "sqlite://:memory:")
if database["ENGINE"] == "django.db.backends.sqlite3":
    # As a site in production is told to: a transaction takes the write lock when it begins.
    database["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 20, **database.get("OPTIONS", {})}
    if database["NAME"] != ":memory:":
        # Django would test in memory whatever the file; who names one wants to see what files and locks do.
        database["TEST"] = {"NAME": f"{database['NAME']}.test"}
else:
    # One name per checkout and environment: tox environments and clones that share a server do not drop each
    # other's database, and the next run of this one clears what a killed run left.
    origin = hashlib.sha256(f"{BASE_DIR}|{sys.prefix}".encode()).hexdigest()[:10]
    database["TEST"] = {"NAME": os.environ.get("PM_TEST_DATABASE_NAME") or f"test_django_pm_{origin}"}
    database["DISABLE_SERVER_SIDE_CURSORS"] = os.environ.get("PM_TEST_POOLED") == "1"
DATABASES = {"default": database}

AUTH_USER_MODEL = os.environ.get("PM_TEST_USER_MODEL") or "auth.User"
# A slow hash protects passwords of people; these are of nobody, and each signed-in test would pay for it.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

CHANNEL_LAYERS = json.loads(os.environ.get("PM_TEST_CHANNEL_LAYERS") or "{}")

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.SessionAuthentication",
        "rest_framework.authentication.BasicAuthentication",
    ],
}

# Tests ask more in a second than a person does in a minute; those of the limits set their own.
DJANGO_PM = {"THROTTLE_USER": "", "THROTTLE_ANONYMOUS": ""}

DEFAULT_FROM_EMAIL = "Projects <pm@site.example>"
if os.environ.get("PM_TEST_SMTP_PORT"):
    SMTP, HOST, PORT = "django.core.mail.backends.smtp.EmailBackend", "127.0.0.1", int(os.environ["PM_TEST_SMTP_PORT"])
    if django.VERSION >= (6, 1):
        MAILERS = {"default": {"BACKEND": SMTP, "OPTIONS": {"host": HOST, "port": PORT}}}
    else:
        EMAIL_BACKEND, EMAIL_HOST, EMAIL_PORT = SMTP, HOST, PORT
