#!/usr/bin/env bash
# Before anything is built: what this machine lacks that no package mends. The program checks again, in more depth.
set -uo pipefail
failed=0
finding() { echo "preflight: $1"; echo "  mend: $2"; failed=1; }

[ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null || finding "pods need root, and this user has no sudo" "run make as root"
. /etc/os-release 2>/dev/null
[ "${VERSION_CODENAME:-}" = bookworm ] || echo "preflight (warning): made for Debian 12, this is ${PRETTY_NAME:-unknown}"
if [ ! -e /sys/fs/cgroup/cgroup.controllers ] && [ ! -d /sys/fs/cgroup/memory ]; then
  finding "no cgroup hierarchy below /sys/fs/cgroup" "mount -t cgroup2 none /sys/fs/cgroup"
fi
there=$DATA_DIR
while [ ! -e "$there" ]; do there=$(dirname "$there"); done
free=$(df -Pm "$there" | awk 'NR==2 {print $4}')
[ "$free" -ge 2048 ] || finding "$there has $free MB free; images and logs want 2048" "free some, or make up DATA_DIR=/another/disk"
here=$(df -Pm . | awk 'NR==2 {print $4}')
[ "$here" -ge 3072 ] || finding "the source folder's disk has $here MB free; the build wants 3072" "free some"
pid=$(cat "$DATA_DIR/run/supervisor.pid" 2>/dev/null)
if [ -z "$pid" ] || ! kill -0 "$pid" 2>/dev/null; then
  for address in "$LISTEN" "$HTTP" "$HTTPS"; do
    port=${address##*:}
    holder=$(ss -Hltnp "sport = :$port" 2>/dev/null | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1 (pid \2)/p' | head -n 1)
    case $holder in
      "") ;;
      *) if [ "${holder#*pid }" = "$(cat "$DATA_DIR/run/engines/haproxy.pid" 2>/dev/null))" ]; then :; else
           finding "port $address is held by $holder" "stop it, or name another: make up LISTEN=… HTTP=… HTTPS=…"; fi ;;
    esac
  done
fi
exit $failed
