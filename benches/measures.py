#!/usr/bin/env python3
"""Measures the arithmetic of attribution, scorecards and propensity beside its peers on the same data, and prints a table.

usage: benches/measures.py [--journeys 1000000] [--runs 3] [--no-peers] [--keep DIR]

Makes journeys through 12 channels (seeded, with touches, null paths and values), writes them as counted paths, touches and journeys,
and runs the release examples of the crate `headwater-analysis` on them; beside them ChannelAttribution from PyPI, in a virtual
environment in the user's cache. Figures are CPU-seconds (user and system) and peak resident memory of the whole process, the read
included: the median of the runs. Machines differ and are noisy: compare the ratios. Needs Python >= 3.9 and cargo.
"""
import argparse, os, pathlib, subprocess, sys, tempfile

from run import CACHE, ROOT, median, run

PEERS = ["ChannelAttribution==2.2.5", "matplotlib", "numpy==2.4.6", "pandas==3.1.1"]
ALL = ("first last last_non_direct linear linear_unique position positional_decay j inverse_j w full_path time_decay "
       "markov markov2 markov3 shapley_sum shapley_rate counterfactual").split()

MAKE = r'''
import sys, numpy as np, pandas as pd
n, out = int(sys.argv[1]), sys.argv[2]
channels = np.array(["paid_search", "organic_search", "paid_social", "organic_social", "email", "direct", "referral", "display",
                     "affiliate", "webinar", "purchased_list", "event"])
effect = np.array([.55, .35, .40, .10, .60, 0, .50, .05, .15, .90, -.10, .70])
r = np.random.Generator(np.random.PCG64(7))
first = np.array([.18, .20, .12, .07, .04, .06, .06, .12, .05, .03, .05, .02]); first /= first.sum()
late = np.array([.12, .10, .05, .04, .20, .27, .04, .06, .03, .05, .01, .03]); late /= late.sum()
length = np.minimum(r.geometric(.26, n), 20)
steps = r.choice(12, (n, 20), p=late).astype(np.int8)
steps[:, 0] = r.choice(12, n, p=first)
for at in range(1, 20):
    stays = r.random(n) < .3
    steps[stays, at] = steps[stays, at - 1]
odds = np.full(n, -3.1)
for channel in range(12):
    met = ((steps == channel) & (np.arange(20) < length[:, None])).sum(1)
    odds += effect[channel] * (1 - .5 ** met) * 2
converted = r.random(n) < 1 / (1 + np.exp(-odds))
value = np.where(converted, r.gamma(2, 150, n).round(2), 0)
at = 1735689600 + (r.random(n) * 15552000).astype(np.int64)
when = at[:, None] + np.cumsum(r.exponential(216000, (n, 20)).astype(np.int64), 1)
journey, seq = np.nonzero(np.arange(20) < length[:, None])
pd.DataFrame({"journey_id": journey, "seq": seq, "ts": when[journey, seq], "channel": channels[steps[journey, seq]]}).to_csv(
    out + "/touches.csv", index=False)
ends = when[np.arange(n), length - 1] + 3600
paths = [" > ".join(channels[steps[i, :length[i]]]) for i in range(n)]
j = pd.DataFrame({"journey_id": np.arange(n), "path": paths, "n": length, "converted": converted.astype(int),
                  "conv_ts": np.where(converted, ends.astype(str), ""), "value": value})
j.to_csv(out + "/journeys.csv", index=False)
g = j.assign(lost=1 - j.converted).groupby("path").agg(total_conversions=("converted", "sum"), total_conversion_value=("value", "sum"),
                                                      total_null=("lost", "sum")).reset_index()
g.total_conversion_value = g.total_conversion_value.round(2)
g.to_csv(out + "/paths.csv", index=False)
print(len(journey), "touches,", len(g), "distinct paths", file=sys.stderr)
'''

PEER = r'''
import sys, pandas as pd, ChannelAttribution as ca
d = pd.read_csv(sys.argv[1])
order = int(sys.argv[2])
if order:
    ca.markov_model(d, "path", "total_conversions", "total_conversion_value", "total_null", order=order, sep=">")
else:
    ca.heuristic_models(d, "path", "total_conversions", "total_conversion_value", sep=">")
'''


def venv(packages):
    home = CACHE / "bench-measures-venv"
    if not (home / "installed").exists() or (home / "installed").read_text() != " ".join(packages):
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(home / "bin" / "pip"), "install", "-q", *packages], check=True)
        (home / "installed").write_text(" ".join(packages))
    return str(home / "bin" / "python")


def examples():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", CACHE / "target"))
    subprocess.run(["cargo", "build", "--release", "-p", "headwater-analysis", "--examples"], cwd=ROOT, check=True,
                   env={**os.environ, "CARGO_TARGET_DIR": str(target)})
    return target / "release" / "examples"


def main():
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("--journeys", type=int, default=1_000_000)
    asked.add_argument("--runs", type=int, default=3)
    asked.add_argument("--no-peers", action="store_true")
    asked.add_argument("--keep", help="a folder for the data, which are made there once")
    asked = asked.parse_args()
    built = examples()
    python = venv(PEERS)
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(asked.keep or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "paths.csv").exists():
            subprocess.run([python, "-c", MAKE, str(asked.journeys), str(folder)], check=True)
        paths, touches, journeys = (str(folder / f"{name}.csv") for name in ("paths", "touches", "journeys"))
        speed = str(built / "attribution_speed")
        rows = [(f"exact Markov, order {order}", [speed, paths, name]) for order, name in
                ((1, "markov"), (2, "markov2"), (3, "markov3"))]
        rows += [("first, last, linear", [speed, paths, "first", "last", "linear"]),
                 ("exact Shapley on the rate, 12 channels", [speed, paths, "shapley_rate"]),
                 (f"all {len(ALL)} models from touches", [speed, touches, journeys, *ALL]),
                 ("scorecards of 100 sources, 1,000,000 leads", [str(built / "scorecard_speed")])]
        if not asked.no_peers:
            rows += [(f"ChannelAttribution 2.2.5, simulated Markov, order {order}", [python, "-c", PEER, paths, str(order)])
                     for order in (1, 2, 3)]
            rows.append(("ChannelAttribution 2.2.5, first, last, linear", [python, "-c", PEER, paths, "0"]))
        print("| what | CPU-seconds | MiB |\n|---|---|---|")
        for name, argv in rows:
            seconds, memory, _ = median([run(argv) for _ in range(asked.runs)])
            print(f"| {name} | {seconds:.2f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
