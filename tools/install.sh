#!/usr/bin/env bash
# install.sh SECTION…: installs the Debian packages that packages.txt lists under [SECTION], where they are missing. An
# entry package?command is left alone where the command is there, from whatever source.
set -euo pipefail
cd "$(dirname "$0")/.."
wanted=()
for section in "$@"; do
  while read -r package; do wanted+=("$package"); done < <(
    awk -v s="[$section]" '/^#/ {next} /^\[/ {on = ($1 == s); next} on {for (i = 1; i <= NF; i++) print $i}' packages.txt)
done
missing=()
for entry in "${wanted[@]}"; do
  package=${entry%%\?*}
  if [ "$package" != "$entry" ] && command -v "${entry##*\?}" >/dev/null; then continue; fi
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] && continue
  missing+=("$package")
done
[ ${#missing[@]} = 0 ] && exit 0
sudo=
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "install: ${missing[*]} are missing and this user may not install them: run as root" >&2; exit 1; }
  sudo=sudo
fi
echo "installing ${#missing[@]} packages: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# Packages that start a daemon of their own would hold ports that nobody asked for.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null && $sudo chmod +x $policy
  trap 'rm -f "$log"; $sudo rm -f $policy' EXIT
fi
# Nor a database cluster of the distribution's own.
case " ${missing[*]} " in *" postgresql-15 "*)
  if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    $sudo mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' | $sudo tee /etc/postgresql-common/createcluster.conf >/dev/null
  fi ;;
esac
if ! { $sudo apt-get update -q && $sudo apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "install: apt-get failed (above); mend that and run make again" >&2
  exit 1
fi
# Their own services stay off at the next boot as well: Mainstay runs the engines it needs itself.
if command -v systemctl >/dev/null; then
  for package in "${missing[@]}"; do
    for unit in $(dpkg -L "$package" 2>/dev/null | sed -n 's,^.*/systemd/system/\([^/@]*\.service\)$,\1,p'); do
      $sudo systemctl disable --quiet "$unit" 2>/dev/null || true
    done
  done
fi
