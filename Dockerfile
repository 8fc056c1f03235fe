# The example site: `docker build --target site .` for every Python service, `--target gateway` for nginx.

FROM python:3.13.7-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY src src
# What a site installs: the wheel with the extras of this site, and the groups that name what else it runs on.
RUN python -m venv /opt/site \
    && python -m pip wheel --no-deps --wheel-dir dist . \
    && /opt/site/bin/python -m pip install "pip>=25.1" \
    && /opt/site/bin/python -m pip install "$(echo dist/*.whl)[celery,channels,metrics,redis]" --group services
WORKDIR /srv/site
COPY example_project .
# The key that the site makes for itself while it has no database stays in this stage.
RUN PM_DATA_DIR=/tmp/data STATIC_ROOT=/srv/static /opt/site/bin/python manage.py collectstatic --noinput

FROM nginx:1.28.0-alpine AS gateway
COPY gateway/site.conf.template /etc/nginx/templates/default.conf.template
COPY gateway/reload.sh /usr/local/bin/reload
COPY --from=build /srv/static /srv/static
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/gateway/alive"]
# The master opens no port below 1024, so it needs no root. A socket takes two connections of a worker.
RUN sed -i -e '/^user /d' -e 's,^pid .*,pid /tmp/nginx.pid;\nworker_rlimit_nofile 16384;,' \
        -e 's/worker_connections .*/worker_connections 8192;/' /etc/nginx/nginx.conf \
    && chown -R 101 /etc/nginx/conf.d /var/cache/nginx
USER 101

FROM python:3.13.7-slim-bookworm AS site
RUN useradd --system --uid 10001 --no-create-home site
ENV PATH=/opt/site/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PM_DATA_DIR=/tmp
COPY --from=build /opt/site /opt/site
COPY --from=build /srv/site /srv/site
WORKDIR /srv/site
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s CMD ["python", "-m", "config.alive", "8000", "/healthz"]
CMD ["granian", "--interface", "wsgi", "--workers", "2", "--blocking-threads", "4", "config.wsgi:application"]
