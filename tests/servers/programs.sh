#!/usr/bin/env bash
# Installs the Singer and Airbyte programs that tests run, each in a virtual environment of its own, and prints their folder.
# They come from PyPI in the versions named here (a second name is what the first may bring along in another version), and need a CPython of 3.10 or 3.11: airbyte-source-file takes no later one.
set -euo pipefail
folder=${XDG_CACHE_HOME:-$HOME/.cache}/headwater/programs
programs=(
  airbyte-source-faker==7.2.1 airbyte-source-smoke-test==0.1.2 airbyte-source-file==0.5.39
  tap-spreadsheets==1.1.2 meltanolabs-tap-postgres==0.10.0
  target-jsonl==0.1.4 'meltanolabs-target-postgres==0.8.1 singer-sdk==0.54.9' target-duckdb==0.8.0
)
mkdir -p "$folder"
# One installation at a time, whoever else runs this script.
exec 8>"$folder.lock"
flock 8

python=
for candidate in /usr/bin/python3.11 python3.11 python3.10 python3 "$HOME"/.pyenv/versions/3.1[01].*/bin/python; do
  if "$candidate" -c 'import sys, venv, ensurepip, ssl; sys.exit(not (3, 10) <= sys.version_info < (3, 12))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || { echo "programs: there is no CPython of 3.10 or 3.11" >&2; exit 1; }

install() {
  local program=$1 name=${1%%==*} log
  local venv=$folder/$name
  [ "$(cat "$venv/complete" 2>/dev/null)" != "$program" ] || return 0
  rm -rf "$venv"
  log=$folder/$name.log
  # Byte code is compiled when a module is imported first; most of what is installed never is.
  if "$python" -m venv "$venv" && "$venv/bin/pip" -q install --disable-pip-version-check --prefer-binary --no-compile $program; then
    echo "$program" >"$venv/complete"
  else
    return 1
  fi >"$log" 2>&1
}

# Downloads and unpacking overlap; two at a time is what a small machine bears.
for program in "${programs[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n || true; done
  install "$program" 8>&- &
done
wait
failed=
for program in "${programs[@]}"; do
  name=${program%%==*}
  [ "$(cat "$folder/$name/complete" 2>/dev/null)" = "$program" ] || { echo "programs: $program: $(tail -n 3 "$folder/$name.log")" >&2; failed=1; }
done
[ -z "$failed" ] || exit 1
echo "$folder"
