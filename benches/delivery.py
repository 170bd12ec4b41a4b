#!/usr/bin/env python3
"""Measures delivery into the stand-in of HubSpot, which runs in a process of its own.

usage: benches/delivery.py [--rows 100000] [--limited-rows 20000] [--runs 3] [--binary target/release/headwater] [--only CASE]

Cases: `plan`, a first plan, which looks everybody up; `deliver`, the push of all of them (it plans again, as every sync does);
`again`, a sync without news; `change`, one field of everybody changed; `limited`, a push against 100 calls in 10 seconds, of which the
stand-in refuses every one too many. Figures are CPU-seconds of our process alone (user and system), rows per CPU-second, peak resident
memory and the whole time; the median of the runs. Ingest and resolve are not measured here. Machines differ and are noisy: compare ratios.
"""
import argparse, csv, json, os, pathlib, signal, statistics, subprocess, sys, tempfile, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CALLS, WINDOW_S = 100, 10
UNLIMITED = 1_000_000


def people(path, rows, title):
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["id", "email", "first", "last", "title", "company", "phone", "country"])
        for n in range(rows):
            out.writerow([n, f"lead{n}@mail{n % 991}.example", f"Given{n % 997}", f"Family{n % 4999}", title, f"Works {n % 8999} Ltd",
                          f"+4420{70000000 + n}", "GB"])


def project(folder, url, per_10s):
    (folder / "headwater.yaml").write_text(f"""version: 1
sources:
  list:
    connector: file
    path: list.csv
    key: id
    map: {{ external_id: id, email: email, given_name: first, family_name: last, job_title: title, company_name: company, phone: phone, country: country }}
sinks:
  crm:
    connector: hubspot
    url: {url}
    token: {{ env: CRM_SECRET }}
    requests_per_10s: {per_10s}
    audience: "true"
    match_on: [external_id, email]
    map: {{ email: email, firstname: given_name, lastname: family_name, jobtitle: job_title, company: company_name, phone: phone, country: country }}
    policy: {{ default: overwrite }}
""")


class Fake:
    def __init__(self, binary, *flags):
        command = [binary, "fake", "hubspot", "--format", "json", *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        told = json.loads(self.process.stdout.readline())
        self.url, self.secret = told["url"], told["secret"]

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        rest = self.process.communicate()[0]
        return json.loads(rest.strip().splitlines()[-1])


def run(binary, folder, secret, *args, ok=(0,)):
    """The program's CPU-seconds, peak memory in MiB, time and answer."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen([binary, "-C", str(folder), *args], stdout=out, env={**os.environ, "CRM_SECRET": secret})
        _, status, used = os.wait4(process.pid, 0)
        # Popen must not wait for it a second time.
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        answer = out.read().decode()
    if process.returncode not in ok:
        sys.exit(f"{' '.join(args)} ended with {process.returncode}:\n{answer[-2000:]}")
    return {"cpu": used.ru_utime + used.ru_stime, "mib": used.ru_maxrss / 1024, "s": time.monotonic() - begun, "answer": answer}


def counts(ran):
    return json.loads(ran["answer"].strip().splitlines()[-1])["sinks"]["crm"]


def expect(what, said, wanted):
    if said != wanted:
        sys.exit(f"{what}: {said}, not {wanted}")


def unlimited(binary, rows):
    with tempfile.TemporaryDirectory() as folder:
        folder, fake, ran = pathlib.Path(folder), Fake(binary), {}
        project(folder, fake.url, UNLIMITED)
        people(folder / "list.csv", rows, "Head of Sales")
        prepare = ["sync", "--stage", "ingest", "--stage", "resolve", "--format", "json"]
        deliver = ["sync", "--stage", "deliver", "--format", "json"]
        run(binary, folder, fake.secret, *prepare)
        ran["plan"] = run(binary, folder, fake.secret, "plan", "--limit", "1")
        ran["deliver"] = run(binary, folder, fake.secret, *deliver)
        expect("created", counts(ran["deliver"])["created"], rows)
        ran["again"] = run(binary, folder, fake.secret, *deliver)
        expect("unchanged", counts(ran["again"])["unchanged"], rows)
        people(folder / "list.csv", rows, "Head of Marketing")
        run(binary, folder, fake.secret, *prepare)
        ran["change"] = run(binary, folder, fake.secret, *deliver)
        expect("updated", counts(ran["change"])["updated"], rows)
        told = fake.end()
        expect("people", told["people"], rows)
    return ran


def limited(binary, rows):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        fake = Fake(binary, "--calls", str(CALLS), "--window-ms", str(WINDOW_S * 1000))
        project(folder, fake.url, CALLS)
        people(folder / "list.csv", rows, "Head of Sales")
        run(binary, folder, fake.secret, "sync", "--stage", "ingest", "--stage", "resolve", "--format", "json")
        ran = run(binary, folder, fake.secret, "sync", "--stage", "deliver", "--format", "json")
        expect("created", counts(ran)["created"], rows)
        told = fake.end()
        # Whoever loses nothing makes the calls of a window at its start, and the last of them when so many windows are over.
        fastest = (told["calls"] - 1) // CALLS * WINDOW_S
        return {**ran, "limited": told["limited"], "used": fastest / (told["busy_us"] / 1e6), "calls": told["calls"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--limited-rows", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "headwater"))
    parser.add_argument("--only", choices=["unlimited", "limited"])
    args = parser.parse_args()
    if not pathlib.Path(args.binary).exists():
        sys.exit(f"there is no {args.binary}: cargo build --release -p headwater-cli, or name one with --binary")
    if args.only != "limited":
        runs = [unlimited(args.binary, args.rows) for _ in range(args.runs)]
        print("| case | rows | CPU-s | rows per CPU-s | peak MiB | s |\n|---|---:|---:|---:|---:|---:|")
        for case in runs[0]:
            median = {key: statistics.median(ran[case][key] for ran in runs) for key in ("cpu", "mib", "s")}
            print(f"| {case} | {args.rows:,} | {median['cpu']:.2f} | {args.rows / median['cpu']:,.0f} | {median['mib']:.0f} | {median['s']:.1f} |")
    if args.only != "unlimited":
        ran = limited(args.binary, args.limited_rows)
        print(f"\n{CALLS} calls in {WINDOW_S} s: {args.limited_rows:,} rows by {ran['calls']:,} calls in {ran['s']:.1f} s, {ran['used']:.1%} of what is allowed; "
              f"{ran['limited']} came too early")


if __name__ == "__main__":
    main()
