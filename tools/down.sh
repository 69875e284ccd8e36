#!/usr/bin/env bash
# Stops Mainstay and all it runs: no process, mount, link, network namespace or firewall rule stays. State stays unless
# PURGE=1. With --keep-workloads only the program itself is stopped; containers and the edge go on serving.
set -uo pipefail
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then exec sudo --preserve-env=DATA_DIR,PURGE "$0" "$@"; fi
run=$DATA_DIR/run
pid=$(cat "$run/supervisor.pid" 2>/dev/null)
if [ -d /run/systemd/system ] && systemctl -q is-enabled mainstay 2>/dev/null; then
  systemctl disable -q --now mainstay
  [ "${1:-}" = --keep-workloads ] || rm -f /etc/systemd/system/mainstay.service
elif [ -n "$pid" ] && kill -TERM "$pid" 2>/dev/null; then
  for _ in $(seq 200); do kill -0 "$pid" 2>/dev/null || break; sleep 0.05; done
  if kill -0 "$pid" 2>/dev/null; then kill -9 -- "-$pid" 2>/dev/null; fi
fi
[ "${1:-}" = --keep-workloads ] && exit 0
binary=$DATA_DIR/bin/mainstay
[ -x "$binary" ] || binary=build/mainstay
[ -d "$DATA_DIR" ] && [ -x "$binary" ] && "$binary" down --data-dir "$DATA_DIR"
if [ "${PURGE:-}" = 1 ]; then rm -rf --one-file-system "$DATA_DIR"; echo "state in $DATA_DIR removed"; fi
exit 0
