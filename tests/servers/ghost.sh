#!/usr/bin/env bash
# The email tool that the tests read from: Ghost (npm, MIT) on SQLite, on loopback, with made-up members.
#   ghost.sh FOLDER up|down
# up     installs and seeds once and keeps that state as a template; every later start is a copy of it.
# down   stops the server.
# Writes FOLDER/url, FOLDER/admin_key (id:hexsecret, for the Admin API)
# Env    PORT, MEMBERS (25)
set -euo pipefail

# Node 22 on purpose: this Ghost's better-sqlite3 aborts the process on Node 24.
readonly VERSION=6.65.0 NODE_VERSION=22.23.3 PNPM_VERSION=12.4.2
PORT=${PORT:-2368} MEMBERS=${MEMBERS:-25}
die() { echo "ghost: $*" >&2; exit 1; }
case "$#:${2:-}" in 2:up | 2:down) ;; *) sed -n '3,5p' "$0" >&2; exit 2 ;; esac
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
mkdir -p "$1"
dir=$(cd "$1" && pwd -P)
case "$dir" in *[[:space:]]*) die "node-gyp does not take a path with spaces: $dir" ;; esac
node=$dir/tools/node_modules/node/bin/node

# The command line is looked at as well: a recycled process number must not be taken for ours.
runs() { [ -f "$dir/ghost.pid" ] && { tr "\0" " " <"/proc/$(cat "$dir/ghost.pid")/cmdline"; } 2>/dev/null | grep -qF "$dir/package/index.js"; }
stop() {
  if runs; then
    kill "$(cat "$dir/ghost.pid")"
    for _ in $(seq 100); do runs || break; sleep 0.1; done
    ! runs || kill -9 "$(cat "$dir/ghost.pid")"
  fi
  rm -f "$dir/ghost.pid"
}

start() {
  "$node" - "$dir" "$PORT" <<'JS'
const fs = require('fs'), [dir, port] = process.argv.slice(2);
fs.writeFileSync(dir + '/package/config.production.json', JSON.stringify({
  url: `http://127.0.0.1:${port}`, server: {host: '127.0.0.1', port: Number(port)},
  database: {client: 'better-sqlite3', connection: {filename: dir + '/data/ghost.db'}, useNullAsDefault: true},
  mail: {transport: 'SMTP', from: 'news@example.com', options: {host: '127.0.0.1', port: 8025, secure: false, ignoreTLS: true}},
  logging: {level: 'info', transports: ['stdout']},
  privacy: {useUpdateCheck: false, useGravatar: false, useRpcPing: false},
  // For a throwaway server only: sign in without a mailed code, and let webhooks go to loopback.
  security: {staffDeviceVerification: false, allowWebhookInternalIPs: true},
  paths: {contentPath: dir + '/package/content'},
}, null, 1));
JS
  echo "http://127.0.0.1:$PORT" >"$dir/url"
  # Ghost reads its configuration from the current folder; exec, so that the recorded number is the server's own.
  (cd "$dir/package" && NODE_ENV=production exec setsid nohup "$node" "$dir/package/index.js" </dev/null >"$dir/ghost.log" 2>&1) &
  echo $! >"$dir/ghost.pid"
  for _ in $(seq 960); do
    ! curl -sf -m 10 -o /dev/null "http://127.0.0.1:$PORT/ghost/api/admin/site/" || return 0
    kill -0 "$(cat "$dir/ghost.pid")" 2>/dev/null || break
    sleep 0.25
  done
  stop
  die "no answer on port $PORT, see $dir/ghost.log"
}

install_ghost() {
  rm -rf "$dir/package" "$dir/tools" "$dir/installed"
  mkdir -p "$dir/tools"
  echo '{"private":true}' >"$dir/tools/package.json"
  (cd "$dir/tools" && npm install --no-audit --no-fund --loglevel=error "node@$NODE_VERSION" "pnpm@$PNPM_VERSION" && npm pack --silent "ghost@$VERSION") \
    >"$dir/install.log" 2>&1 || die "npm could not fetch node, pnpm and ghost, see $dir/install.log"
  # `npm install ghost` fails on the package's own file: dependencies, so it is unpacked and installed from inside.
  tar -xzf "$dir/tools/ghost-$VERSION.tgz" -C "$dir"
  rm "$dir/tools/ghost-$VERSION.tgz"
  # re2 is a faster RegExp with a very long compile, and its users fall back to RegExp.
  sed -i -E 's/^(  re2@[^:]+): true$/\1: false/' "$dir/package/pnpm-workspace.yaml"
  local node_home
  node_home=$(cd "$dir/tools/node_modules/node/node_modules"/node-*/include/.. 2>/dev/null && pwd) || node_home=
  (
    cd "$dir/package"
    export PATH=$dir/tools/node_modules/node/bin:$dir/tools/node_modules/.bin:$PATH CI=true CFLAGS=-O1 CXXFLAGS=-O1
    # Headers from the npm package: node-gyp would download them otherwise.
    [ -z "$node_home" ] || export npm_config_nodedir=$node_home
    pnpm install --prod --frozen-lockfile --config.manage-package-manager-versions=false &&
      "$node" -e 'new (require("better-sqlite3"))(":memory:").close()'
  ) >>"$dir/install.log" 2>&1 || die "pnpm could not install Ghost, see $dir/install.log"
  echo "$VERSION" >"$dir/installed"
}

stop
[ "$2" = up ] || exit 0

if [ "$(cat "$dir/installed" 2>/dev/null)" != "$VERSION" ]; then
  install_ghost
  rm -rf "$dir/template-$MEMBERS"
fi
template=$dir/template-$MEMBERS
if [ ! -d "$template" ]; then
  rm -rf "$dir/data"
  mkdir -p "$dir/data"
  start
  "$node" "$here/ghost_seed.js" "http://127.0.0.1:$PORT" "$MEMBERS" "$dir/data/admin_key" || die "could not seed the site, see $dir/ghost.log"
  stop
  # Moved into place only when whole, so its presence is proof enough.
  mv "$dir/data" "$template"
fi
rm -rf "$dir/data"
cp -a "$template" "$dir/data"
cp "$template/admin_key" "$dir/admin_key"
start
