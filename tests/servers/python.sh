#!/usr/bin/env bash
# Prints the path of a CPython >= 3.12, which BottleCRM needs and Debian 12 does not have.
#   python.sh find    fails when there is none
#   python.sh         builds one in the cache when there is none (needs the packages of `build_packages` in ../../test)
# The source is Debian 13's package, fetched by apt with Debian's signatures; the system's own package lists stay untouched.
set -euo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/headwater
prefix=$cache/python3.13

for python in "$prefix/bin/python3" python3.14 python3.13 python3.12 python3 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python; do
  if "$python" -c 'import sys, venv, ensurepip, ssl; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
    command -v "$python"
    exit 0
  fi
done
[ "${1:-}" != find ] || exit 1

mkdir -p "$cache"
work=$(mktemp -d "$cache/python-build.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p state/lists/partial cache/archives/partial
# The mirror that this machine uses already.
read -r uri keyring < <(apt-get indextargets --format '$(REPO_URI) $(SIGNED_BY)' 'Origin: Debian' 'Component: main' 'Created-By: Packages' | grep -v security | head -n 1)
[ -f "${keyring:-}" ] || keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb-src [signed-by=$keyring] $uri trixie main" >sources.list
apt=(apt-get -q -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State="$work/state"
  -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache="$work/cache" -o APT::Sandbox::User=)
{
  "${apt[@]}" update
  "${apt[@]}" source --download-only python3.13
  mkdir source
  tar -xf python3.13_*.orig.tar.xz -C source --strip-components 1
  cd source
  ./configure --prefix="$prefix" --disable-test-modules --with-ensurepip=install
  make -j"$(nproc)"
  make install
} >"$cache/python-build.log" 2>&1 || { echo "python: the build failed, see $cache/python-build.log" >&2; exit 1; }
echo "$prefix/bin/python3"
