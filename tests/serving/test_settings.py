"""What each entry point makes of the environment."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.example.site import MANAGE, Site
from tests.realtime.processes.servers import recommended

POSTGRES = "postgres://nobody@localhost/none"
REDIS = "redis://127.0.0.1:6379/0"


def settings(folder: Path, module: str, expression: str, **variables: str) -> Any:
    """What `expression` says once the server has imported its entry point."""
    program = f"import json, {module}; from django.conf import settings; print(json.dumps({expression}))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=MANAGE.parent,
        env=Site(folder).environment(**variables),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


class TestDatabase:
    def database(self, folder: Path, module: str, **variables: str) -> Any:
        return settings(folder, module, "settings.DATABASES['default']", **{"DATABASE_URL": POSTGRES, **variables})

    @pytest.mark.parametrize(
        ("module", "variables", "size"),
        [
            ("config.asgi", {}, 10),
            ("config.sockets", {}, 7),
            ("config.sockets", {"DATABASE_POOL": ""}, 7),
            ("config.asgi", {"DATABASE_POOL": "25"}, 25),
            ("config.wsgi", {"DATABASE_POOL": "25"}, 25),
        ],
    )
    def test_pooled(self, tmp_path: Path, module: str, variables: dict[str, str], size: int) -> None:
        database = self.database(tmp_path, module, **variables)
        assert database["OPTIONS"]["pool"] == {"min_size": 1, "max_size": size, "timeout": 10, "reconnect_timeout": 10}
        assert (database["CONN_MAX_AGE"], database["CONN_HEALTH_CHECKS"]) == (0, True)

    @pytest.mark.parametrize(("module", "variables"), [("config.wsgi", {}), ("config.asgi", {"DATABASE_POOL": "0"})])
    def test_kept_by_threads(self, tmp_path: Path, module: str, variables: dict[str, str]) -> None:
        database = self.database(tmp_path, module, **variables)
        assert "pool" not in database["OPTIONS"]
        assert (database["CONN_MAX_AGE"], database["CONN_HEALTH_CHECKS"]) == (600, True)

    @pytest.mark.parametrize("module", ["config.wsgi", "config.asgi", "config.sockets"])
    def test_nothing_is_kept_where_a_pooler_is_in_between(self, tmp_path: Path, module: str) -> None:
        database = self.database(tmp_path, module, DATABASE_POOLER="1")
        assert "pool" not in database["OPTIONS"]
        assert (database["CONN_MAX_AGE"], database["DISABLE_SERVER_SIDE_CURSORS"]) == (0, True)

    @pytest.mark.parametrize("url", ["", "sqlite:///{folder}/db.sqlite3"])
    def test_sqlite_has_no_pool(self, tmp_path: Path, url: str) -> None:
        options = "settings.DATABASES['default'].get('OPTIONS', {})"
        assert "pool" not in settings(tmp_path, "config.asgi", options, DATABASE_URL=url.format(folder=tmp_path))


class TestRedis:
    def test_the_layer_is_what_the_documentation_recommends(self, tmp_path: Path) -> None:
        layers = settings(tmp_path, "config.wsgi", "settings.CHANNEL_LAYERS", REDIS_URL=REDIS)
        assert layers == recommended()

    @pytest.mark.parametrize(
        ("variables", "backend"),
        [
            ({}, "django.core.cache.backends.locmem.LocMemCache"),
            ({"REDIS_URL": REDIS}, "django_redis.cache.RedisCache"),
        ],
    )
    def test_the_cache_is_in_redis_if_there_is_one(
        self, tmp_path: Path, variables: dict[str, str], backend: str
    ) -> None:
        assert settings(tmp_path, "config.wsgi", "settings.CACHES['default']['BACKEND']", **variables) == backend

    def test_sessions_stay_in_the_database(self, tmp_path: Path) -> None:
        engine = settings(tmp_path, "config.wsgi", "settings.SESSION_ENGINE", REDIS_URL=REDIS)
        assert engine == "django.contrib.sessions.backends.db"
