"""The site that is measured: session authentication, Django's usual middleware, PostgreSQL, nothing cached.

``PM_BENCH_SERVER``
    the server as a URL without a database name; ``postgresql://postgres@127.0.0.1:5432`` unless set.
``PM_BENCH_DATABASE``
    the database that is made there and dropped again; ``pm_bench`` unless set.
``PM_BENCH_REDIS``
    what the sockets' servers hear each other through; ``redis://127.0.0.1:6379`` unless set.
``PM_BENCH_RABBITMQ``
    the broker of the workers that send mail; ``amqp://guest:guest@127.0.0.1:5672//`` unless set.
``PM_BENCH_SMTP_PORT``
    set by the benchmarks themselves, for the processes they start: where mail goes.
"""

import os

import dj_database_url

DATABASE_NAME = os.environ.get("PM_BENCH_DATABASE") or "pm_bench"

SECRET_KEY = "of a site that exists only while it is measured"  # noqa: S105
DEBUG = False
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "django_filters",
    "django_pm",
    "benchmarks.plain",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]

TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

ROOT_URLCONF = "benchmarks.urls"

server = os.environ.get("PM_BENCH_SERVER") or "postgresql://postgres@127.0.0.1:5432"
DATABASES = {"default": dj_database_url.parse(f"{server.rstrip('/')}/{DATABASE_NAME}", conn_max_age=None)}

REDIS_URL = os.environ.get("PM_BENCH_REDIS") or "redis://127.0.0.1:6379"
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}},
}

AUTH_USER_MODEL = "auth.User"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}

# Counting stays on, since it is part of every request; only the limit is out of reach.
DJANGO_PM = {"THROTTLE_USER": "1000000/s", "SITE_URL": "https://pm.example.com"}

DEFAULT_FROM_EMAIL = "Projects <pm@site.example>"
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_HOST = "127.0.0.1"
EMAIL_PORT = int(os.environ.get("PM_BENCH_SMTP_PORT", "25"))
