#!/usr/bin/env bash
# supervise.sh PIDFILE COMMAND…: restarts the command when it dies, unless it was told to stop or its usage is wrong.
pidfile=$1
shift
echo $$ >"$pidfile"
child=
stopping=
trap 'stopping=1; [ -n "$child" ] && kill -TERM "$child" 2>/dev/null' TERM INT
delay=1
while :; do
  began=$SECONDS
  "$@" &
  child=$!
  wait "$child"
  code=$?
  # wait returns early where a signal came: wait again for the child's own end.
  if [ -n "$stopping" ]; then wait "$child"; break; fi
  case $code in 0 | 2 | 3) break ;; esac
  [ $((SECONDS - began)) -gt 30 ] && delay=1
  echo "supervisor: exit code $code, starting again in $delay s"
  sleep "$delay"
  delay=$((delay < 30 ? delay * 2 : 30))
done
rm -f "$pidfile"
