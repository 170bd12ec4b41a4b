#!/usr/bin/env bash
# The mailing list manager that the tests read from: GNU Mailman (PyPI, GPL-3.0-or-later, a process of its own) on SQLite, on loopback.
# Its REST interface alone runs: no mail is sent or taken. It has a domain, example.com, and no lists.
#   mailman.sh FOLDER up|down
# up     installs once; every start has an empty database.
# down   stops the server.
# Writes FOLDER/url (without the version), FOLDER/password (of the user restadmin)
# Env    PORT
set -euo pipefail

# With SQLAlchemy 2.1 the roster of a list answers 500.
readonly VERSION=3.3.10 NEEDS='sqlalchemy<2.1'
PORT=${PORT:-8001}
die() { echo "mailman: $*" >&2; exit 1; }
case "$#:${2:-}" in 2:up | 2:down) ;; *) sed -n '4,6p' "$0" >&2; exit 2 ;; esac
mkdir -p "$1"
dir=$(cd "$1" && pwd -P)
url=http://127.0.0.1:$PORT

# The command line is looked at as well: a recycled process number must not be taken for ours.
runs() { [ -f "$dir/pid" ] && { tr "\0" " " <"/proc/$(cat "$dir/pid")/cmdline"; } 2>/dev/null | grep -qF "$dir/mailman.cfg"; }
stop() {
  if runs; then
    kill "$(cat "$dir/pid")"
    for _ in $(seq 100); do runs || break; sleep 0.1; done
    ! runs || kill -9 "$(cat "$dir/pid")"
  fi
  rm -f "$dir/pid"
}
ask() { curl -sf -m 10 -o /dev/null -u "restadmin:$(cat "$dir/password")" "$@"; }

stop
[ "$2" = up ] || exit 0

if [ "$(cat "$dir/installed" 2>/dev/null)" != "$VERSION" ]; then
  rm -rf "$dir/venv"
  python3 -m venv "$dir/venv"
  "$dir/venv/bin/pip" -q install --disable-pip-version-check --prefer-binary "mailman==$VERSION" "$NEEDS" >"$dir/install.log" 2>&1 ||
    die "pip could not install Mailman, see $dir/install.log"
  echo "$VERSION" >"$dir/installed"
fi

rm -rf "$dir/var"
mkdir "$dir/var"
umask 077
head -c 12 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$dir/password"
cat >"$dir/mailman.cfg" <<CFG
[mailman]
layout: here
site_owner: owner@example.com
[paths.here]
var_dir: $dir/var
[database]
class: mailman.database.sqlite.SQLiteDatabase
url: sqlite:///$dir/var/mailman.db
[webservice]
hostname: 127.0.0.1
port: $PORT
admin_user: restadmin
admin_pass: $(cat "$dir/password")
api_version: 3.1
[mta]
incoming: mailman.mta.null.NullMTA
CFG
(cd "$dir" && exec setsid nohup "$dir/venv/bin/runner" -C "$dir/mailman.cfg" -r rest </dev/null >"$dir/rest.log" 2>&1) &
echo $! >"$dir/pid"
for _ in $(seq 240); do
  ! ask "$url/3.1/system/versions" || break
  kill -0 "$(cat "$dir/pid")" 2>/dev/null || break
  sleep 0.25
done
if ! ask -d mail_host=example.com "$url/3.1/domains"; then
  stop
  die "no answer on port $PORT, see $dir/rest.log"
fi
echo "$url" >"$dir/url"
