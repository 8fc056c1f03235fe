#!/bin/sh
# Has nginx take the variables that it is called with, and returns once nobody is served by the former ones any more:
#   docker compose exec -e API_SERVERS="server 172.18.0.9:8000;" gateway reload
# Connections that are open, such as sockets, stay with the former processes until they end.
set -eu

serving() { # whether this is a worker that takes connections: one that does not says so in its title
    tr -d '\0' 2>/dev/null <"/proc/$1/cmdline" | grep -q 'worker process$'
}

former=
for process in /proc/[0-9]*; do
    if serving "${process#/proc/}"; then former="$former ${process#/proc/}"; fi
done
/docker-entrypoint.d/20-envsubst-on-templates.sh >/dev/null
nginx -t -q
nginx -s reload
for process in $former; do
    while serving "$process"; do sleep 0.1; done
done
