#!/usr/bin/env python3
"""Measures Headwater beside its peers on one file, in one run, and prints a table.

usage: benches/run.py [--rows 1000000] [--runs 3] [--binary PATH] [--no-peers]

Figures are CPU-seconds (user and system, children included) and the peak resident memory of the largest process, as the
operating system accounts them; the median of the runs. Machines differ and are noisy: compare the ratios.
Peers come from PyPI into a virtual environment in the user's cache. Needs Python >= 3.9 and a release build
(`cargo build --release -p headwater-cli`), which it makes if there is none.
"""
import argparse, os, pathlib, shutil, statistics, subprocess, sys, tempfile, time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "headwater"
SLING = "sling-linux-amd64==1.4.11"

PROJECT = """version: 1
sources:
  leads:
    connector: file
    path: leads*.csv
    key: source_id
    origin: form
"""


def run(argv, cwd=None, env=None, ok=(0,)):
    """Runs a command; its CPU-seconds, peak memory in MiB and wall seconds."""
    began = time.monotonic()
    child = subprocess.Popen(argv, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    error = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in ok:
        sys.exit(f"{argv[0]} ended with {child.returncode}:\n{error.decode(errors='replace')[-2000:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, time.monotonic() - began


def median(samples):
    return [statistics.median(column) for column in zip(*samples)]


def binary(path):
    if path:
        return str(pathlib.Path(path).resolve())
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", CACHE / "target"))
    built = target / "release" / "headwater"
    if not built.exists():
        subprocess.run(["cargo", "build", "--release", "-p", "headwater-cli"], cwd=ROOT, check=True,
                       env={**os.environ, "CARGO_TARGET_DIR": str(target)})
    return str(built)


def sling():
    venv = CACHE / "bench-venv"
    if not (venv / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(venv / "bin" / "pip"), "install", "-q", SLING], check=True)
        (venv / "installed").write_text(SLING)
    found = sorted(venv.glob("lib/python*/site-packages/sling_linux_amd64/bin/sling-linux-amd64"))
    if not found:
        sys.exit(f"{SLING} did not bring its program")
    os.chmod(found[0], 0o755)
    return str(found[0])


def ours(hw, work, csv):
    """One fresh project: first ingest, a run with nothing new, a copy of the file with the same rows."""
    project = pathlib.Path(tempfile.mkdtemp(dir=work))
    (project / "headwater.yaml").write_text(PROJECT)
    os.link(csv, project / "leads.csv")
    sync = [hw, "-C", str(project), "-q", "sync", "--stage", "ingest"]
    first = run(sync)
    same = run(sync)
    # The last byte differs, so the file is another one and each of its rows has to be recognised.
    shutil.copy(csv, project / "leads-again.csv")
    with open(project / "leads-again.csv", "a") as file:
        file.write("\n")
    again = run(sync)
    shutil.rmtree(project)
    return first, same, again


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rows", type=int, default=1_000_000)
    args.add_argument("--runs", type=int, default=3)
    args.add_argument("--binary")
    args.add_argument("--no-peers", action="store_true")
    args = args.parse_args()
    hw = binary(args.binary)
    peer = None if args.no_peers else sling()
    with tempfile.TemporaryDirectory(prefix="headwater-bench-") as work:
        csv = pathlib.Path(work) / "leads.csv"
        subprocess.run([sys.executable, str(HERE / "gen_csv.py"), str(args.rows), str(csv)], check=True)
        first, same, again, peers, starts = [], [], [], [], []
        for _ in range(args.runs):
            for samples, sample in zip((first, same, again), ours(hw, work, csv)):
                samples.append(sample)
            if peer:
                out = pathlib.Path(work) / "sling.parquet"
                env = {**os.environ, "SLING_DUCKDB_COMPUTE": "false"}
                peers.append(run([peer, "run", "--src-stream", f"file://{csv}", "--tgt-object", f"file://{out}"], env=env))
                out.unlink(missing_ok=True)
        for _ in range(20):
            starts.append(run([hw, "--version"]))
        size = csv.stat().st_size
    print(f"{args.rows:,} rows x 16 columns, {size:,} bytes; median of {args.runs} runs; {os.cpu_count()} cores\n")
    print(f"{'what':58} {'CPU-s':>7} {'MiB':>6} {'wall s':>7}")
    rows = [
        ("headwater: CSV to committed, conformed leads", first),
        ("headwater: the same file again, nothing new", same),
        ("headwater: every row delivered again in another file", again),
        ("headwater --version", starts),
    ]
    if peers:
        rows.insert(0, (f"{SLING}: CSV to Parquet", peers))
    for name, samples in rows:
        cpu, memory, wall = median(samples)
        print(f"{name:58} {cpu:7.2f} {memory:6.0f} {wall:7.3f}")
    if peers:
        ratio = statistics.median(a[0] / b[0] for a, b in zip(first, peers))
        print(f"\nheadwater needs {ratio:.2f} of the peer's CPU-seconds (pair by pair, median)")
    print(f"binary: {os.stat(hw).st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
