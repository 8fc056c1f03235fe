"""Settings of the example site: an ordinary Django site that has django-pm installed.

Everything that differs between two machines comes from an environment variable. With none set the site runs
embedded: SQLite in one folder, no other process, reachable from this machine only, nobody's password known.

    variable               without it
    PM_DEMO                0       1: sample users with a known password, DEBUG on, no throttles
    PM_DATA_DIR            .demo   where the database file and the generated secret key live
    DATABASE_URL           SQLite  e.g. postgres://user:password@host:5432/name
    DATABASE_POOL          none: connections that threads keep; with config.asgi 10, with config.sockets 7: so many
                                   connections to PostgreSQL at most in each process, lent to whoever asks
    DATABASE_POOLER        0       1: a pooler in between gives each transaction a connection of others (PgBouncer);
                                   then no connection is kept here, and it ignores DATABASE_SECONDS
    DATABASE_SECONDS       30      what one statement may take on PostgreSQL; 0: as long as it likes, for migrations
    REDIS_URL              none    e.g. redis://host:6379/0: the cache, and what wakes other server processes for live
                                   notifications
    BROKER_URL             none    e.g. amqp://user:password@host:5672/vhost: RabbitMQ, for the workers of config.celery
    BEAT_SECONDS           0: as each job has it; else every job is looked at no more rarely than this
    SECRET_KEY             generated once into PM_DATA_DIR; required as soon as DATABASE_URL is set
    DEBUG                  as PM_DEMO
    ALLOWED_HOSTS          this machine only; comma-separated
    CSRF_TRUSTED_ORIGINS   none; comma-separated, e.g. https://pm.example.com
    HTTPS                  1 with DATABASE_URL and without DEBUG: redirect to https, secure cookies, HSTS
    PROXIES                0       how many reverse proxies of yours stand in front (they set X-Forwarded-*)
    LOG_FORMAT             none: what Django and Celery do by themselves; json: one object a line; text
    LOG_LEVEL              INFO, with LOG_FORMAT
    STATIC_ROOT            PM_DATA_DIR/static, filled by collectstatic
    THROTTLE_USER          600/min how many requests one user may make
    METRICS_TOKEN          none    what Prometheus shows to read /metrics; without one there is no such page. With one,
                                   this machine answers to its own addresses too, which are how Prometheus finds it
    TIME_ZONE              UTC
    SITE_URL               none, in the demo http://127.0.0.1:8000: where the links in mail lead
    EMAIL_HOST             localhost; in the demo none: mail goes to PM_DATA_DIR/mail, which /mailbox/ shows
    EMAIL_PORT, EMAIL_HOST_USER, EMAIL_HOST_PASSWORD, EMAIL_USE_TLS, EMAIL_USE_SSL   as Django has them
    DEFAULT_FROM_EMAIL     projects@example.com
"""

import socket
from contextlib import suppress
from pathlib import Path

import django
from django.core.exceptions import ImproperlyConfigured

from config import env
from config.secret import stored_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("PM_DATA_DIR", str(BASE_DIR.parent / ".demo"))).expanduser().resolve()

# --- What kind of run this is -------------------------------------------------------------------------------
DEMO = env.flag("PM_DEMO")
DEBUG = env.flag("DEBUG", default=DEMO)
DATABASE_URL = env.text("DATABASE_URL")
HTTPS = env.flag("HTTPS", default=bool(DATABASE_URL) and not DEBUG)

SECRET_KEY = env.text("SECRET_KEY")
if not SECRET_KEY:
    # Two machines behind one database must agree on the key, so there it cannot be made up on the spot.
    if DATABASE_URL and not DEMO:
        raise ImproperlyConfigured("SECRET_KEY must be set when DATABASE_URL is set.")
    SECRET_KEY = stored_secret_key(DATA_DIR)

ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
METRICS_TOKEN = env.text("METRICS_TOKEN")
if METRICS_TOKEN:
    with suppress(OSError):
        ALLOWED_HOSTS += socket.gethostbyname_ex(socket.gethostname())[2]
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")

# --- What the site is made of -------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    # What django-pm asks a site to install:
    "rest_framework",
    "django_filters",
    "django_pm",
    # The site's own choices and apps:
    "rest_framework.authtoken",
    "accounts",
    "worklog",
    "demo",
]

MIDDLEWARE = [
    "django_pm.health.middleware.request_metrics",  # first, so that it times all the others
    "config.logs.request_id_middleware",
    "config.csp.content_security_policy_middleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "demo.context.mailbox",
            ],
        },
    },
]

# --- Database -----------------------------------------------------------------------------------------------
if DATABASE_URL:
    import dj_database_url

    # Whether connections are kept or pooled depends on what serves the site: docs/serving.md. Either way one that
    # has been idle is tried before it is used.
    DATABASE_POOLER = env.flag("DATABASE_POOLER", default=False)
    DATABASE_POOL = 0 if DATABASE_POOLER else env.number("DATABASE_POOL", default=0)
    DATABASE = dj_database_url.parse(
        DATABASE_URL,
        conn_max_age=0 if DATABASE_POOL or DATABASE_POOLER else 600,
        conn_health_checks=True,
        disable_server_side_cursors=DATABASE_POOLER,
    )
    if DATABASE["ENGINE"] == "django.db.backends.postgresql":
        # A server that has vanished is given up within seconds, not after the operating system's quarter of an hour.
        OPTIONS = DATABASE.setdefault("OPTIONS", {})
        OPTIONS.setdefault("connect_timeout", 5)
        OPTIONS.setdefault("keepalives_idle", 10)
        OPTIONS.setdefault("keepalives_interval", 5)
        OPTIONS.setdefault("keepalives_count", 3)
        OPTIONS.setdefault("tcp_user_timeout", 15_000)  # milliseconds
        OPTIONS.setdefault("options", f"-c statement_timeout={env.number('DATABASE_SECONDS', default=30)}s")
        if DATABASE_POOL:
            OPTIONS["pool"] = {
                "min_size": 1,
                "max_size": DATABASE_POOL,
                "timeout": 10,  # seconds that a request waits for one to come back
                # After so long it begins again to try for a connection, at short intervals. They double meanwhile, so
                # by its own five minutes it would notice a PostgreSQL that is back only minutes later.
                "reconnect_timeout": 10,
            }
    DATABASES = {"default": DATABASE}
else:
    DATA_DIR.mkdir(parents=True, exist_ok=True)
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA_DIR / "db.sqlite3",
            "OPTIONS": {
                # A transaction takes the write lock when it begins. One that upgrades later, from reading to
                # writing, fails with "database is locked" at once, however long the timeout.
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,  # seconds a writer waits for another one
                # WAL: readers and the one writer do not wait for each other. NORMAL is safe with it (a power
                # cut may lose the last commits, never the file).
                "init_command": (
                    "PRAGMA journal_mode=WAL;"
                    "PRAGMA synchronous=NORMAL;"
                    "PRAGMA foreign_keys=ON;"
                    "PRAGMA temp_store=MEMORY;"
                    "PRAGMA cache_size=-20000;"  # negative: KiB, so 20 MB per connection
                    "PRAGMA mmap_size=134217728;"
                    "PRAGMA journal_size_limit=27103364;"
                ),
            },
        },
    }

# --- People -------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "home"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

if DEMO:
    # Basic authentication checks the password on every request; a hasher that is slow on purpose would be
    # most of the time of each. And because only the demo accepts this hasher, the sample accounts and their
    # known password open nothing once the same data is served without PM_DEMO.
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# --- The API ------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    # The first one decides how a request without credentials is refused: with Basic it is 401 and says how to
    # sign in; with sessions first it would be a bare 403.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.BasicAuthentication",
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    # Counted in the cache below: without REDIS_URL that is per process. So are the limits of django-pm.
    "DEFAULT_THROTTLE_RATES": {"sign-in": None if DEMO else "10/min"},
    # X-Forwarded-For is whatever a client writes there, unless a proxy of ours appended to it.
    "NUM_PROXIES": env.number("PROXIES", default=0),
}

DJANGO_PM: dict[str, object] = {
    # The other defaults suit this site. What there is to set: docs/settings.md.
    "METRICS_TOKEN": METRICS_TOKEN,
    "SITE_URL": env.text("SITE_URL", "http://127.0.0.1:8000" if DEMO else ""),
    **(
        {"THROTTLE_USER": "", "THROTTLE_ANONYMOUS": ""}
        if DEMO
        else {"THROTTLE_USER": env.text("THROTTLE_USER", "600/min")}
    ),
}

# --- Mail ---------------------------------------------------------------------------------------------------
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "Northwind & Daughters <projects@example.com>")
MAIL_SERVER = env.text("EMAIL_HOST", "" if DEMO else "localhost")
# The demo's people do not exist. Their mail is kept in a folder, unless a server is named to try one.
MAIL_FOLDER = None if MAIL_SERVER else DATA_DIR / "mail"

SMTP_OPTIONS: dict[str, object] = {
    "host": MAIL_SERVER,
    "port": env.number("EMAIL_PORT", default=25),
    "username": env.text("EMAIL_HOST_USER"),
    "password": env.text("EMAIL_HOST_PASSWORD"),
    "use_tls": env.flag("EMAIL_USE_TLS"),
    "use_ssl": env.flag("EMAIL_USE_SSL"),
    "timeout": 10,  # seconds, for each step of a message: docs/mail.md
}
if MAIL_FOLDER:
    MAIL = {"BACKEND": "demo.mail_backend.FolderBackend"}
else:
    MAIL = {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": SMTP_OPTIONS}

if django.VERSION >= (6, 1):
    MAILERS = {"default": MAIL}
else:
    EMAIL_BACKEND = MAIL["BACKEND"]
    EMAIL_HOST, EMAIL_PORT = SMTP_OPTIONS["host"], SMTP_OPTIONS["port"]
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = SMTP_OPTIONS["username"], SMTP_OPTIONS["password"]
    EMAIL_USE_TLS, EMAIL_USE_SSL = SMTP_OPTIONS["use_tls"], SMTP_OPTIONS["use_ssl"]
    EMAIL_TIMEOUT = SMTP_OPTIONS["timeout"]

# --- Cache and live notifications ---------------------------------------------------------------------------
if REDIS_URL := env.text("REDIS_URL"):
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    # A cache is there to be fast: one that does not answer is given up soon, and not asked a second time. Its errors
    # are raised (IGNORE_EXCEPTIONS stays off), so that whoever asks it knows, and can leave it alone for a while.
    CACHES = {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": "example",
            "OPTIONS": {
                "SOCKET_CONNECT_TIMEOUT": 0.25,
                "SOCKET_TIMEOUT": 0.25,
                "CONNECTION_POOL_KWARGS": {"retry": Retry(NoBackoff(), retries=0)},
            },
        },
    }
    # Why these options: docs/realtime.md.
    REDIS = {
        "address": REDIS_URL,
        "socket_connect_timeout": 2,
        "socket_timeout": 15,
        "socket_keepalive": False,
        "max_connections": 1000,
    }
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [REDIS]},
        },
    }
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# --- Workers ------------------------------------------------------------------------------------------------
# Further options, with which nothing is lost, are set by django_pm.schedules.configure in config.celery.
CELERY_BROKER_URL = env.text("BROKER_URL", "amqp://guest:guest@127.0.0.1:5672//")
CELERY_BROKER_CONNECTION_TIMEOUT = 4
CELERY_BROKER_HEARTBEAT = 30
CELERY_TASK_IGNORE_RESULT = True
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "beat")
BEAT_SECONDS = env.number("BEAT_SECONDS", default=0)

# --- Logs ---------------------------------------------------------------------------------------------------
LOG_FORMATS = {
    "text": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
    "json": {
        "()": "pythonjsonlogger.json.JsonFormatter",
        "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s %(process)d",
        "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
    },
}
LOGGING: dict[str, object] = {}
if LOG_FORMAT := env.text("LOG_FORMAT"):
    if LOG_FORMAT not in LOG_FORMATS:
        raise ImproperlyConfigured(f"LOG_FORMAT must be one of {', '.join(LOG_FORMATS)}, not {LOG_FORMAT!r}.")
    LOGGING = {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request": {"()": "config.logs.RequestId"}},
        "formatters": {"chosen": LOG_FORMATS[LOG_FORMAT]},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "chosen", "filters": ["request"]}},
        "root": {"handlers": ["console"], "level": env.text("LOG_LEVEL", "INFO")},
        # Django, and the servers, bring handlers of their own. Of each request `config.logs` writes a line.
        "loggers": {
            "django": {"handlers": [], "propagate": True},
            "uvicorn": {"handlers": [], "propagate": True, "level": "WARNING"},
            "_granian": {"handlers": [], "propagate": True, "level": "WARNING"},
        },
    }

# --- Time, language, files ----------------------------------------------------------------------------------
USE_TZ = True
TIME_ZONE = env.text("TIME_ZONE", "UTC")
USE_I18N = True
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch"), ("ar", "العربية")]  # those that there are words for

STATIC_URL = "static/"
STATIC_ROOT = Path(env.text("STATIC_ROOT", str(DATA_DIR / "static")))

# --- Transport ----------------------------------------------------------------------------------------------
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]  # who probes and scrapes comes past the proxy
SECURE_HSTS_SECONDS = 30 * 24 * 3600 if HTTPS else 0
if HTTPS and env.number("PROXIES", default=0):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# Both speak for other sites of the domain as well, so they are for its owner to decide.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
