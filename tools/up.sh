#!/usr/bin/env bash
# Starts Mainstay in the background (a systemd unit where systemd runs, else under a small supervisor) and walks the
# example down the golden path. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then exec sudo --preserve-env=DATA_DIR,LISTEN,HTTP,HTTPS,DOMAIN,EXTRA_FLAGS "$0" "$@"; fi
run=$DATA_DIR/run
log=$DATA_DIR/mainstay.log
flags=(--data-dir "$DATA_DIR" --listen "$LISTEN" --http "$HTTP" --https "$HTTPS" --domain "$DOMAIN")
# shellcheck disable=SC2206
flags+=(${EXTRA_FLAGS:-})
mkdir -p "$run"
chmod 711 "$DATA_DIR"

# The running copy lives beside the state, so that a build in the checkout never pulls it from under the process.
install_binary() {
  if ! cmp -s build/mainstay "$DATA_DIR/bin/mainstay"; then
    mkdir -p "$DATA_DIR/bin"
    cp build/mainstay "$DATA_DIR/bin/mainstay.new"
    mv "$DATA_DIR/bin/mainstay.new" "$DATA_DIR/bin/mainstay"
    changed=1
  fi
}

answers() { curl -fsS -m 2 --cacert "$DATA_DIR/ca.crt" "https://$LISTEN/readyz" >/dev/null 2>&1; }

start_systemd() {
  cat >/etc/systemd/system/mainstay.service <<UNIT
[Unit]
Description=Mainstay engineering platform
After=network.target
[Service]
ExecStart=$DATA_DIR/bin/mainstay up ${flags[*]}
Restart=on-failure
RestartPreventExitStatus=2 3
KillMode=process
Delegate=yes
LimitNOFILE=20000
StandardOutput=append:$log
StandardError=append:$log
[Install]
WantedBy=multi-user.target
UNIT
  systemctl daemon-reload
  systemctl enable -q mainstay
  systemctl restart mainstay
}

start_supervised() {
  local pid
  pid=$(cat "$run/supervisor.pid" 2>/dev/null || true)
  if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then
    [ -n "${changed:-}" ] || return 0
    tools/down.sh --keep-workloads
  fi
  setsid tools/supervise.sh "$run/supervisor.pid" "$DATA_DIR/bin/mainstay" up "${flags[@]}" >>"$log" 2>&1 </dev/null &
}

install_binary
if ! { answers && [ -z "${changed:-}" ]; }; then
  start=$(date +%s%N)
  touch "$log"
  from=$(($(wc -c <"$log") + 1))
  if [ -d /run/systemd/system ]; then start_systemd; else start_supervised; fi
  for _ in $(seq 600); do
    answers && break
    if tail -c "+$from" "$log" | grep -q '^preflight: \|^mainstay up: '; then
      tail -c "+$from" "$log" | grep -A1 '^preflight\|^mainstay up: ' >&2
      exit 1
    fi
    sleep 0.05
  done
  answers || { echo "Mainstay did not become ready within 30 s; its log ends:" >&2; tail -n 20 "$log" >&2; exit 1; }
  echo "mainstay is ready after $((($(date +%s%N) - start) / 1000000)) ms at https://$LISTEN (log: $log)"
else
  echo "mainstay is running at https://$LISTEN (log: $log)"
fi
exec tools/walk.sh
