#!/usr/bin/env bash
# Installs the Singer and Airbyte programs that tests run, each in a virtual environment of its own, and prints their folder.
#   programs.sh PYTHON    a CPython of 3.10 or 3.11: airbyte-source-file takes no later one
# They come from PyPI, in the versions named here; what they depend on is as it was on a fixed day.
set -euo pipefail
python=$1
folder=${XDG_CACHE_HOME:-$HOME/.cache}/headwater/programs
programs=(
  airbyte-source-faker==7.2.1 airbyte-source-smoke-test==0.1.2 airbyte-source-file==0.5.39
  tap-spreadsheets==1.1.2 meltanolabs-tap-postgres==0.10.0
  target-jsonl==0.1.4 meltanolabs-target-postgres==0.8.1 target-duckdb==0.8.0
)
"$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 12))' || { echo "programs: $python is no CPython of 3.10 or 3.11" >&2; exit 1; }
mkdir -p "$folder"

install() {
  local program=$1 name=${1%%==*} log
  local venv=$folder/$name
  [ "$(cat "$venv/complete" 2>/dev/null)" != "$program" ] || return 0
  rm -rf "$venv"
  log=$folder/$name.log
  # Byte code is compiled when a module is imported first; most of what is installed never is.
  if "$python" -m venv "$venv" && "$venv/bin/pip" -q install --disable-pip-version-check --prefer-binary --no-compile "$program"; then
    echo "$program" >"$venv/complete"
  else
    return 1
  fi >"$log" 2>&1
}

# Downloads and unpacking overlap; two at a time is what a small machine bears.
failed=
for program in "${programs[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n || failed=1; done
  install "$program" &
done
while [ -n "$(jobs -p)" ]; do wait -n || failed=1; jobs >/dev/null; done
for program in "${programs[@]}"; do
  name=${program%%==*}
  [ "$(cat "$folder/$name/complete" 2>/dev/null)" = "$program" ] || { echo "programs: $program: $(tail -n 3 "$folder/$name.log")" >&2; failed=1; }
done
[ -z "$failed" ] || exit 1
echo "$folder"
