"""A site that sets only what it cannot do without: no `USE_TZ`, no `TIME_ZONE`, no `DJANGO_PM`, no admin.

`USE_TZ` is on then, and `TIME_ZONE` is America/Chicago. `manage.py check` names `USE_TZ = False` as an error.
"""

SECRET_KEY = "not a secret: this site exists only while tests run"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "django_filters",
    "django_pm",
]

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]

ROOT_URLCONF = "tests.shapes.defaults.urls"

TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
    }
}
