#!/bin/sh
# Run by mmdebstrap with the new root as $1, after the packages were unpacked. The variant `extract` runs no maintainer
# scripts: what they would have made is made here, and each package's control record is kept for the SBOM (status.d).
set -e
mkdir -p "$1/var/lib/dpkg/status.d" "$1/etc/ssl/certs" "$1/root" "$1/tmp"
for deb in "$1"/var/cache/apt/archives/*.deb; do
  [ -e "$deb" ] || continue
  dpkg-deb -f "$deb" > "$1/var/lib/dpkg/status.d/$(dpkg-deb -f "$deb" Package)"
done
chmod 1777 "$1/tmp"
[ -e "$1/etc/passwd" ] || printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' \
  'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin' > "$1/etc/passwd"
[ -e "$1/etc/group" ] || printf '%s\n' 'root:x:0:' 'tty:x:5:' 'nogroup:x:65534:' > "$1/etc/group"
[ -e "$1/etc/nsswitch.conf" ] || printf '%s\n' 'passwd: files' 'group: files' 'hosts: files dns' > "$1/etc/nsswitch.conf"
if [ -d "$1/usr/share/ca-certificates" ]; then
  find "$1/usr/share/ca-certificates" -name '*.crt' | sort | xargs cat > "$1/etc/ssl/certs/ca-certificates.crt"
fi
if [ -e "$1/usr/bin/python3.11" ] && [ ! -e "$1/usr/bin/python3" ]; then ln -s python3.11 "$1/usr/bin/python3"; fi
exit 0
