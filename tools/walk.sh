#!/usr/bin/env bash
# The golden path, walked: team demo, repository hello, a push, a URL that answers. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."
mainstay=$PWD/build/mainstay
export MAINSTAY_CONFIG=$DATA_DIR/walk.config
# Where the environment names other roots for git, they would win over the repository's own setting.
export GIT_SSL_CAINFO=$DATA_DIR/ca.crt
now() { date +%s%N; }
took() { echo "$((($(now) - $1) / 1000000)) ms"; }

"$mainstay" login --kubeconfig "$DATA_DIR/admin.kubeconfig" --quiet
t=$(now)
"$mainstay" team create demo --if-missing
"$mainstay" repo create hello --team demo --if-missing
echo "team demo and repository hello: $(took "$t")"
t=$(now)
if ! "$mainstay" image exists library/python:3.11-slim; then
  echo "making the base image library/python:3.11-slim from Debian's packages (once)…"
  "$mainstay" image create library/python:3.11-slim --packages python3
  echo "base image: $(took "$t")"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r examples/hello/. "$work"
cd "$work"
git init -q -b main
git config user.name "Golden Path"
git config user.email "golden-path@mainstay.dev"
git config http.sslCAInfo "$DATA_DIR/ca.crt"
git config credential.helper "!$mainstay git-credential"
git remote add origin "https://$LISTEN/git/demo/hello.git"
if git fetch -q origin main 2>/dev/null; then
  git reset -q --soft origin/main
fi
git add -A
# A time in the message, so that each walk is a new commit and shows the whole path.
git commit -q --allow-empty -m "Walk the golden path, $(date -u +%FT%TZ)"
t=$(now)
git push origin main
echo "push to serving: $(took "$t")"
url="https://hello.dev.demo.$DOMAIN:${HTTPS##*:}/"
echo
echo "  $url"
curl -fsS --cacert "$DATA_DIR/ca.crt" --resolve "hello.dev.demo.$DOMAIN:${HTTPS##*:}:${HTTPS%:*}" "$url" | sed 's/^/  > /'
first=
[ ! -e "$DATA_DIR/admin.password" ] || first=" (user admin; the first password is in $DATA_DIR/admin.password)"
cat <<END

  console: https://$LISTEN/console/$first
  log in:  build/mainstay login --kubeconfig $DATA_DIR/admin.kubeconfig
  then:    build/mainstay status
           build/mainstay logs hello --team demo --env dev
           kubectl --kubeconfig $DATA_DIR/admin.kubeconfig get pods -A
  trust:   $DATA_DIR/ca.crt is the platform's certificate authority
  stop:    make down
END
