#!/usr/bin/env bash
# Makes sure that the services which the tests need answer on this machine: started if they are there, installed
# with apt if they are not. Meant for a machine of CI's own, as root; one that already answers is left alone.
#
#   PM_POSTGRES_PORT   where PostgreSQL is expected on 127.0.0.1 (5432)
#   PM_REDIS_PORT      where Redis is expected on 127.0.0.1 (6379)
#   PM_RABBITMQ_PORT   where RabbitMQ is expected on 127.0.0.1 (5672)
#
# A further service is a function here and its name in the last line.
set -euo pipefail

say() { printf '%s\n' "$*"; }

as_root() {
    [ "$(id -u)" = 0 ] || { say "$1: not answering, and setting it up needs root"; exit 1; }
}

apt_install() {
    local said
    say "installing $*"
    export DEBIAN_FRONTEND=noninteractive
    # What it says matters only when it fails.
    said=$({ apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; } 2>&1) ||
        { say "$said"; exit 1; }
}

wait_for() { # seconds, command...
    local left=$1
    shift
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 1
    done
}

# --- PostgreSQL: trusted users postgres and root, database test -------------------------------------------------

postgres_port=${PM_POSTGRES_PORT:-5432}
postgres_own=pm_test # our cluster, made only where no other will let us in

pg() { psql --no-psqlrc --quiet --tuples-only --no-align --host 127.0.0.1 --port "$postgres_port" --username postgres --no-password "$@"; }

postgres_port_is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$postgres_port") 2>/dev/null; }

postgres_answers() { command -v psql >/dev/null && pg --dbname postgres --command 'SELECT 1' >/dev/null 2>&1; }

# Clusters that claim the port, as "version name" lines.
postgres_claimants() { pg_lsclusters --no-header | awk -v port="$postgres_port" '$3 == port { print $1, $2 }'; }

postgres_start_claimants() {
    local version name
    while read -r version name; do
        # Without systemd: containers have none, and where there is one it need not know of this start.
        pg_ctlcluster --skip-systemctl-redirect "$version" "$name" start || true
    done < <(postgres_claimants)
}

postgres_make_own() {
    local version name
    # They do not let us in, and were not running before this script: make room on the port.
    while read -r version name; do
        pg_ctlcluster --skip-systemctl-redirect "$version" "$name" stop || true
    done < <(postgres_claimants)
    version=$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -printf "%f\n" | sort -n | tail -n 1)
    # Data that lives for one test run needs no disk flush.
    [ -d "/etc/postgresql/$version/$postgres_own" ] ||
        pg_createcluster "$version" "$postgres_own" --port "$postgres_port" --encoding UTF8 --locale C.UTF-8 \
            --pgoption fsync=off --pgoption synchronous_commit=off --pgoption full_page_writes=off \
            -- --auth=trust >/dev/null
    pg_ctlcluster --skip-systemctl-redirect "$version" "$postgres_own" start
}

postgres_has() { [ -n "$(pg --dbname postgres --command "SELECT 1 FROM $1")" ]; }

postgres_set_up() {
    as_root PostgreSQL
    if postgres_port_is_taken; then
        say "PostgreSQL: port $postgres_port is taken by a server that does not let user postgres in;" \
            "set PM_TEST_DATABASE_URL to one that may create databases"
        exit 1
    fi
    command -v pg_ctlcluster >/dev/null || apt_install postgresql
    postgres_start_claimants
    wait_for 5 postgres_answers || postgres_make_own
    wait_for 30 postgres_answers || { say "PostgreSQL: started, but does not answer"; exit 1; }
    postgres_has "pg_roles WHERE rolname = 'root'" || pg --dbname postgres --command 'CREATE ROLE root SUPERUSER LOGIN'
    postgres_has "pg_database WHERE datname = 'test'" || pg --dbname postgres --command 'CREATE DATABASE test OWNER root'
}

ensure_postgres() {
    if [ -n "${PM_TEST_DATABASE_URL:-}" ]; then
        say "PostgreSQL: left to PM_TEST_DATABASE_URL"
        return
    fi
    # A server may be there, or forwarded here, without the client that we ask it with.
    if postgres_port_is_taken && ! command -v psql >/dev/null; then as_root psql && apt_install postgresql-client; fi
    postgres_answers || postgres_set_up
    say "PostgreSQL $(pg --dbname postgres --command 'SHOW server_version') answers on 127.0.0.1:$postgres_port"
}

# --- Redis: nothing kept on disk ---------------------------------------------------------------------------------

redis_port=${PM_REDIS_PORT:-6379}

redis() { redis-cli -h 127.0.0.1 -p "$redis_port" "$@"; }

redis_port_is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$redis_port") 2>/dev/null; }

redis_answers() { command -v redis-cli >/dev/null && [ "$(redis ping 2>/dev/null)" = PONG ]; }

redis_set_up() {
    as_root Redis
    if redis_port_is_taken; then
        say "Redis: port $redis_port is taken by a server that does not let us in; set PM_TEST_REDIS_URL to one that does"
        exit 1
    fi
    redis_answers || redis-server --bind 127.0.0.1 --port "$redis_port" --daemonize yes --save '' --appendonly no \
        --dir /tmp >/dev/null
    wait_for 10 redis_answers || { say "Redis: started, but does not answer"; exit 1; }
}

ensure_redis() {
    # Also where another one is used: some tests start servers of their own, to freeze and to kill them. Debian's
    # package starts one on the usual port where it can.
    if ! command -v redis-server >/dev/null; then as_root redis-server && apt_install redis-server; fi
    if [ -n "${PM_TEST_REDIS_URL:-}" ]; then
        say "Redis: left to PM_TEST_REDIS_URL"
        return
    fi
    redis_answers || redis_set_up
    say "Redis $(redis info server | sed -n 's/^redis_version:\([0-9.]*\).*/\1/p') answers on 127.0.0.1:$redis_port"
}

# --- RabbitMQ: user guest, who may connect from this machine --------------------------------------------------------

rabbitmq_port=${PM_RABBITMQ_PORT:-5672}

rabbitmq_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$rabbitmq_port") 2>/dev/null; }

rabbitmq_set_up() {
    as_root RabbitMQ
    # The package may have started it already, where there is something that starts services.
    wait_for 5 rabbitmq_answers || RABBITMQ_NODE_PORT=$rabbitmq_port rabbitmq-server -detached
    wait_for 60 rabbitmq_answers || { say "RabbitMQ: started, but does not answer"; exit 1; }
}

ensure_rabbitmq() {
    # Also where another one is used: some tests start nodes of their own, to freeze and to kill them.
    if ! command -v rabbitmq-server >/dev/null; then as_root rabbitmq-server && apt_install rabbitmq-server; fi
    if [ -n "${PM_TEST_RABBITMQ_URL:-}" ]; then
        say "RabbitMQ: left to PM_TEST_RABBITMQ_URL"
        return
    fi
    rabbitmq_answers || rabbitmq_set_up
    say "RabbitMQ answers on 127.0.0.1:$rabbitmq_port"
}

# --- nginx: installed, not started; tests start one of their own -----------------------------------------------------

nginx_is_here() { [ -x /usr/sbin/nginx ] || command -v nginx >/dev/null; }

ensure_nginx() {
    if ! nginx_is_here; then
        as_root nginx
        apt_install nginx-light
    fi
    say "nginx is installed"
}

ensure_postgres
ensure_redis
ensure_rabbitmq
ensure_nginx
