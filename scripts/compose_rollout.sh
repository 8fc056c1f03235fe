#!/usr/bin/env bash
# Replaces the containers of `docker compose up` by those of a new release, in the order of docs/upgrades.md:
#
#   TAG=<new> scripts/compose_rollout.sh [--without-gateway]     (or TAG in .env, beside docker-compose.yml)
#
# Requests go on throughout, but for the seconds in which the gateway itself is replaced, at the very end: that may wait
# for a quiet hour. Compose alone would take all replicas of `api` away at once. If a step fails, what follows it is
# not done; new containers of `api` that are not ready within PATIENCE (180) seconds are removed again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

containers() { docker compose ps --quiet "$1"; }

# Has the gateway ask these containers of `api` alone; without any, whatever the name stands for. Left to itself it
# would meet new ones that do not listen yet, and for some seconds old ones that are gone.
ask_only() {
    local servers=()
    if [ $# -gt 0 ]; then
        servers=(-e "API_SERVERS=$(docker inspect "$@" \
            --format '{{range .NetworkSettings.Networks}}server {{.IPAddress}}:8000 max_fails=0;{{end}}' | tr '\n' ' ')")
    fi
    docker compose exec -T ${servers[@]+"${servers[@]}"} gateway reload
}

docker compose build
docker compose run --rm migrate
docker compose up --detach --no-deps worker-events worker-mail worker-reports beat
docker compose up --detach --no-deps realtime

mapfile -t old < <(containers api)

# What does not get ready, or is interrupted, leaves the old ones at work, as they were.
take_back() {
    trap - EXIT
    mapfile -t new < <(containers api | grep -vFx "$(printf '%s\n' "${old[@]}")")
    if [ ${#new[@]} -gt 0 ]; then docker rm --force "${new[@]}" >/dev/null; fi
    ask_only
    echo "The old containers of api go on; nothing was replaced but workers, beat and realtime." >&2
    exit 1
}
trap take_back EXIT
SECONDS=0

ask_only "${old[@]}"
docker compose up --detach --no-deps --no-recreate --scale "api=$((2 * ${#old[@]}))" api
mapfile -t new < <(containers api | grep -vFx "$(printf '%s\n' "${old[@]}")")
for container in "${new[@]}"; do
    echo "waiting until $container is ready …"
    until docker exec "$container" python -m config.alive 8000 /readyz; do
        if ((SECONDS > ${PATIENCE:-180})); then exit 1; fi
        sleep 1
    done
done
trap - EXIT
ask_only "${new[@]}"
docker stop "${old[@]}" >/dev/null
docker rm "${old[@]}" >/dev/null
ask_only
if [ "${1:-}" != --without-gateway ]; then
    docker compose up --detach --no-deps gateway
fi
