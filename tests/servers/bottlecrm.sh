#!/usr/bin/env bash
# The CRM that the tests push to: BottleCRM (PyPI django-crm, MIT) on PostgreSQL, on loopback.
#   bottlecrm.sh FOLDER up|down
# up     installs and migrates once and keeps that state as a template; every later start is a copy of it: an empty CRM.
# down   stops web server and database.
# Writes FOLDER/url, FOLDER/token (bearer token), FOLDER/postgres_url (an empty database of the same server, for our own tests)
# Env    PYTHON (CPython >= 3.12 with venv: the answer of python.sh), PGBIN (folder with initdb), PORT, PG_PORT, PG_OS_USER (who runs PostgreSQL when
#        we are root, which PostgreSQL refuses to be: postgres)
set -euo pipefail

readonly VERSION=1.35.0
PORT=${PORT:-8812} PG_PORT=${PG_PORT:-54330}
die() { echo "bottlecrm: $*" >&2; exit 1; }
case "$#:${2:-}" in 2:up | 2:down) ;; *) sed -n '3,5p' "$0" >&2; exit 2 ;; esac
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
mkdir -p "$1"
dir=$(cd "$1" && pwd -P)

pg_user=
[ "$(id -u)" != 0 ] || pg_user=${PG_OS_USER:-postgres}
as_pg() {
  if [ -n "$pg_user" ]; then
    (cd / && exec setpriv --reuid "$pg_user" --regid "$(id -g "$pg_user")" --clear-groups -- env HOME="$dir/pg" "$@")
  else
    "$@"
  fi
}

if [ -z "${PGBIN:-}" ]; then
  for PGBIN in /usr/lib/postgresql/*/bin "$(dirname "$(readlink -f "$(command -v initdb || echo /nowhere/initdb)")")"; do
    [ ! -x "$PGBIN/initdb" ] || break
  done
fi
[ -x "$PGBIN/initdb" ] || die "PostgreSQL's server programs were not found: install postgresql or set PGBIN"

# The command line is looked at as well: a recycled process number must not be taken for ours.
web_runs() { [ -f "$dir/gunicorn.pid" ] && { tr "\0" " " <"/proc/$(cat "$dir/gunicorn.pid")/cmdline"; } 2>/dev/null | grep -qF "$dir/venv/bin/gunicorn"; }
pg_runs() { [ -f "$dir/pg/data/PG_VERSION" ] && as_pg "$PGBIN/pg_ctl" -D "$dir/pg/data" status >/dev/null 2>&1; }

stop() {
  if web_runs; then
    kill "$(cat "$dir/gunicorn.pid")"
    for _ in $(seq 100); do web_runs || break; sleep 0.1; done
    ! web_runs || kill -9 "$(cat "$dir/gunicorn.pid")"
  fi
  rm -f "$dir/gunicorn.pid"
  ! pg_runs || as_pg "$PGBIN/pg_ctl" -D "$dir/pg/data" -m immediate -w stop >/dev/null
}

# The database holds test data only, so durability is switched off.
pg_start() {
  as_pg "$PGBIN/pg_ctl" -D "$dir/pg/data" -l "$dir/pg/server.log" -w start -o "-p $PG_PORT -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories='' -c fsync=off -c synchronous_commit=off -c full_page_writes=off" </dev/null >/dev/null 2>&1 ||
    die "PostgreSQL did not start on port $PG_PORT, see $dir/pg/server.log"
}

install_crm() {
  rm -rf "$dir/venv" "$dir/installed"
  [ -n "${PYTHON:-}" ] || PYTHON=$("$here/python.sh") || die "there is no CPython >= 3.12"
  "$PYTHON" -m venv "$dir/venv"
  # Older Pythons would quietly get django-crm 0.9, another product in all but name.
  "$dir/venv/bin/pip" -q install --disable-pip-version-check "django-crm==$VERSION" gunicorn >"$dir/install.log" 2>&1 ||
    die "pip could not install django-crm==$VERSION, see $dir/install.log"
  echo "$VERSION" >"$dir/installed"
}

make_template() {
  rm -rf "$dir/pg/data" "$dir/pg/template"
  as_pg "$PGBIN/initdb" -D "$dir/pg/data" -A trust -U postgres -E UTF8 >"$dir/initdb.log" 2>&1 || die "initdb failed, see $dir/initdb.log"
  pg_start
  # BottleCRM keeps organisations apart by row level security, which a superuser would bypass.
  for sql in "create role crm_app login" "create database bottle owner crm_app" "create role headwater login" "create database headwater owner headwater"; do
    "$PGBIN/psql" -qX -h 127.0.0.1 -p "$PG_PORT" -U postgres -c "$sql" || die "could not run: $sql"
  done
  "$dir/venv/bin/django-admin" migrate --noinput >"$dir/migrate.log" 2>&1 || die "migration failed, see $dir/migrate.log"
  "$dir/venv/bin/django-admin" create_default_admin >"$dir/admin.log" 2>&1 || die "create_default_admin failed, see $dir/admin.log"
  "$dir/venv/bin/python" - "$dir/token.new" <<'P' || die "could not make the API token"
import os, sys, django
django.setup()
from django.db import connection
from common.models import Org, Profile, PersonalAccessToken, User
user = User.objects.get(email=os.environ["ADMIN_EMAIL"])
org = Org.objects.create(name="Test", company_name="Test")
connection.cursor().execute("select set_config('app.current_org',%s,false)", [str(org.id)])
profile = Profile.objects.create(user=user, org=org, role="ADMIN", is_organization_admin=True, is_active=True)
open(sys.argv[1], "w").write(PersonalAccessToken.generate(profile, "test")[0])
P
  as_pg "$PGBIN/pg_ctl" -D "$dir/pg/data" -m fast -w stop >/dev/null
  mv "$dir/token.new" "$dir/token"
  as_pg mv "$dir/pg/data" "$dir/pg/template"
}

stop
[ "$2" = up ] || exit 0

mkdir -p "$dir/pg" "$dir/run"
chmod 711 "$dir"
if [ -n "$pg_user" ]; then
  id "$pg_user" >/dev/null 2>&1 || die "there is no user $pg_user to run PostgreSQL: set PG_OS_USER"
  chown "$pg_user" "$dir/pg"
  as_pg test -w "$dir/pg" || die "user $pg_user cannot reach $dir/pg: a parent folder is closed to it"
fi
export SECRET_KEY=only-for-tests-0123456789abcdef0123456789abcdef ENV_TYPE=dev ALLOWED_HOSTS=127.0.0.1,localhost \
  DBNAME=bottle DBUSER=crm_app DBPASSWORD= DBHOST=127.0.0.1 DBPORT="$PG_PORT" \
  CELERY_BROKER_URL=memory:// CELERY_RESULT_BACKEND=cache+memory:// DJANGO_SETTINGS_MODULE=crm.settings \
  ADMIN_EMAIL=admin@example.com ADMIN_PASSWORD=only-for-tests
cd "$dir/run"
if [ "$(cat "$dir/installed" 2>/dev/null)" != "$VERSION" ] || ! "$dir/venv/bin/python" -c '' 2>/dev/null; then
  install_crm
  rm -rf "$dir/pg/template"
fi
# Moved into place only when whole, so its presence is proof enough.
as_pg test -d "$dir/pg/template" || make_template
as_pg rm -rf "$dir/pg/data"
as_pg cp -a "$dir/pg/template" "$dir/pg/data"
pg_start

echo "http://127.0.0.1:$PORT" >"$dir/url"
echo "postgres://headwater@127.0.0.1:$PG_PORT/headwater" >"$dir/postgres_url"
# The limits of BottleCRM are counted per process, so there is one.
setsid nohup "$dir/venv/bin/gunicorn" crm.wsgi -b "127.0.0.1:$PORT" -w 1 --threads 4 --pid "$dir/gunicorn.pid" </dev/null >"$dir/web.log" 2>&1 &
probe() { web_runs && curl -sf -m 10 -o /dev/null -H "Authorization: Bearer $(cat "$dir/token")" "http://127.0.0.1:$PORT/api/contacts/"; }
for _ in $(seq 480); do
  ! probe || exit 0
  sleep 0.5
done
stop
die "no answer on port $PORT, see $dir/web.log"
