#!/usr/bin/env python3
"""Resolves one table with Headwater and with Splink, in one run, and prints quality and cost side by side.

usage: benches/identity.py FILE [--threads 1] [--binary PATH] [--no-splink] [--u 1e6]
       benches/identity.py FILE --later 10000 [--runs 3]

FILE is a CSV with the columns id, entity (the truth) and any of first_name, last_name, company, title, email, phone, city,
country, website. `benches/gen_people.py N FILE` makes one; names there may stand in full_name, which Splink is given split.
Neither engine sees a label; the thresholds are fixed (ours 0.5 by average link; Splink 0.95, and beside it the threshold that
is best on the labels, which nobody without labels can know). Costs are CPU-seconds (user and system) and peak resident memory
of the whole process, file to written clusters, as the operating system accounts them. Splink and DuckDB come from PyPI into a
virtual environment in the user's cache. The model given to Splink has seven comparisons with term frequencies and twelve
blocking rules over the columns below, normalised in SQL; EM is run twice.

With --later, so many records, drawn evenly from FILE, come after the others: printed is what they cost against an index of the others,
beside one run over the others, as medians of runs that take turns. That is of the engine alone (resolve_file).
"""
import argparse, csv, json, os, pathlib, statistics, subprocess, sys, tempfile, time

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "headwater"
PINS = ["splink==5.0.0", "duckdb==2.0.0", "pyarrow", "scipy", "numpy", "pandas<3"]

SPLINK = r'''
import json, logging, sys
import duckdb, numpy
import splink.comparison_library as cl, splink.comparison_level_library as cll
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

file, out, u, threads = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4]
con = duckdb.connect()
con.execute(f"SET threads={threads}")
have = [row[0] for row in con.execute(f"describe select * from read_csv('{file}', all_varchar=true)").fetchall()]
col = lambda name: name if name in have else "null"
plain = lambda text: f"nullif(regexp_replace(replace(strip_accents(lower({text})),'ł','l'),'[^a-z]','','g'),'')"
first = f"coalesce({col('first_name')}, split_part({col('full_name')},' ',1))" if "full_name" in have else col("first_name")
last = f"coalesce({col('last_name')}, regexp_replace({col('full_name')},'^[^ ]* ',''))" if "full_name" in have else col("last_name")
legal = "incorporated|inc|llc|corporation|corp|company|co|limited|ltd|plc|llp|gmbh|kg|ag|sarl|sas|sa|sl|ab|ltda|group"
free = "'gmail.com','yahoo.com','outlook.com','hotmail.com','icloud.com','gmx.de','web.de','orange.fr','aol.com','protonmail.com','mail.com'"
role = "'info','sales','contact','office','hello','admin','support','marketing','test','noemail','na'"
con.execute(f"""create table leads as
with raw as (select row_number() over () unique_id, id, {plain(first)} fn, {plain(last)} ln, lower({col('email')}) mail,
  regexp_replace(regexp_replace({col('phone')},' x[0-9]+$',''),'[^0-9]','','g') digits,
  regexp_replace(regexp_replace(lower({col('website')}),'^(https?://)?(www[.])?',''),'/.*$','') web,
  trim(regexp_replace(regexp_replace(strip_accents(lower({col('company')})),'[.,&+]|\\band\\b',' ','g'),'(\\s+({legal}))+\\s*$','')) company,
  strip_accents(lower({col('city')})) city, strip_accents(lower({col('title')})) title from read_csv('{file}', all_varchar=true)),
parts as (select *, regexp_replace(split_part(mail,'@',1),'\\+.*$','') l, replace(replace(replace(regexp_replace(split_part(mail,'@',2),
  '[.]con$','.com'),'googlemail.com','gmail.com'),'gmial.com','gmail.com'),'yaho.com','yahoo.com') d from raw),
more as (select *, case when d='gmail.com' then replace(l,'.','') else l end lp, d in ({free}) is_free, l in ({role}) is_role from parts)
select unique_id, id, fn, ln, case when mail is not null and not is_role then lp||'@'||d end email, case when not is_role then lp end local,
  is_free::int is_free, case when d is not null and d<>'' and not is_free then d else nullif(web,'') end dom,
  case when length(ltrim(digits,'0'))>=9 then right(digits,9) end phone, nullif(regexp_replace(company,'\\s+',' ','g'),'') company, city, title from more""")
con.execute("create view leads_in as select * exclude(id) from leads")
swapped = "fn_l = ln_r and ln_l = fn_r"
comparisons = [
    cl.CustomComparison(output_column_name="fn", comparison_levels=[cll.NullLevel("fn"), cll.ExactMatchLevel("fn", term_frequency_adjustments=True),
        cll.CustomLevel(swapped), cll.CustomLevel("(length(fn_l)=1 or length(fn_r)=1) and fn_l[1]=fn_r[1]"), cll.JaroWinklerLevel("fn", 0.88), cll.ElseLevel()]),
    cl.CustomComparison(output_column_name="ln", comparison_levels=[cll.NullLevel("ln"), cll.ExactMatchLevel("ln", term_frequency_adjustments=True),
        cll.CustomLevel(swapped), cll.JaroWinklerLevel("ln", 0.92), cll.JaroWinklerLevel("ln", 0.8), cll.ElseLevel()]),
    cl.CustomComparison(output_column_name="email", comparison_levels=[cll.NullLevel("email"), cll.ExactMatchLevel("email", term_frequency_adjustments=True),
        cll.DamerauLevenshteinLevel("email", 1), cll.CustomLevel("is_free_l <> is_free_r"), cll.ElseLevel()]),
    cl.CustomComparison(output_column_name="phone", comparison_levels=[cll.NullLevel("phone"), cll.ExactMatchLevel("phone", term_frequency_adjustments=True),
        cll.LevenshteinLevel("phone", 1), cll.ElseLevel()]),
    cl.CustomComparison(output_column_name="company", comparison_levels=[
        cll.CustomLevel("(company_l is null or company_r is null) and (dom_l is null or dom_r is null)").configure(is_null_level=True),
        cll.CustomLevel("dom_l = dom_r").configure(tf_adjustment_column="dom"), cll.CustomLevel("company_l = company_r").configure(tf_adjustment_column="company"),
        cll.JaroWinklerLevel("company", 0.9), cll.ElseLevel()]),
    cl.CustomComparison(output_column_name="city", comparison_levels=[cll.NullLevel("city"), cll.ExactMatchLevel("city", term_frequency_adjustments=True),
        cll.JaroWinklerLevel("city", 0.9), cll.ElseLevel()]),
]
if "title" in have:
    comparisons.append(cl.CustomComparison(output_column_name="title", comparison_levels=[cll.NullLevel("title"),
        cll.ExactMatchLevel("title", term_frequency_adjustments=True), cll.JaroWinklerLevel("title", 0.85), cll.ElseLevel()]))
rules = [block_on("email"), block_on("phone"), block_on("fn", "ln"), "l.fn = r.ln and l.ln = r.fn", block_on("ln", "dom"), block_on("fn", "dom"),
    block_on("local"), block_on("ln", "city", "substr(fn,1,1)"), block_on("substr(ln,1,4)", "dom"), block_on("substr(fn,1,3)", "company"),
    block_on("ln", "company"), block_on("dom", "substr(local,1,4)")]
settings = SettingsCreator(link_type="dedupe_only", unique_id_column_name="unique_id", comparisons=comparisons,
    blocking_rules_to_generate_predictions=rules, max_iterations=20, em_convergence=1e-3)
api = DuckDBAPI(connection=con)
linker = Linker(api.register("leads_in"), settings, log_level=logging.ERROR)
linker.training.estimate_probability_two_random_records_match([block_on("email", "ln"), block_on("phone", "fn", "ln"), block_on("fn", "ln", "dom")], recall=0.6)
linker.training.estimate_u_using_random_sampling(max_pairs=u, seed=1)
for rule in (block_on("email"), block_on("fn", "ln")):
    linker.training.estimate_parameters_using_expectation_maximisation(rule, estimate_without_term_frequencies=True)
scored = linker.inference.predict(threshold_match_probability=0.1)
clusters = linker.clustering.cluster_pairwise_predictions_at_threshold(scored, threshold_match_probability=0.95)
con.execute(f"copy (select l.id, c.cluster_id person from {clusters.physical_name} c join leads l using (unique_id)) to '{out}' (header)")
con.execute(f"copy (select a.id one, b.id two, match_weight w from {scored.physical_name} s join leads a on a.unique_id=s.unique_id_l join leads b on b.unique_id=s.unique_id_r) to '{out}.pairs' (header)")
'''

MEASURE = r'''
import json, sys
import numpy as np, pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

def measures(found, truth):
    found, truth = (np.unique(x, return_inverse=True)[1].astype(np.int64) for x in (found, truth))
    sizes, true_sizes = np.bincount(found), np.bincount(truth)
    _, inverse, both = np.unique(found * len(true_sizes) + truth, return_inverse=True, return_counts=True)
    pairs = lambda x: float((x.astype(np.float64) * (x - 1) / 2).sum())
    right, joined, due = pairs(both), pairs(sizes), pairs(true_sizes)
    harmonic = lambda p, r: 2 * p * r / (p + r) if p + r else 0.0
    p, r = right / max(joined, 1), right / max(due, 1)
    bp, br = float((both[inverse] / sizes[found]).mean()), float((both[inverse] / true_sizes[truth]).mean())
    return dict(precision=p, recall=r, f1=harmonic(p, r), b3=harmonic(bp, br), largest=int(sizes.max()), largest_true=int(true_sizes.max()))

truth = pd.read_csv(sys.argv[1], usecols=["id", "entity"], dtype=str).set_index("id")["entity"]
found = pd.read_csv(sys.argv[2], dtype=str).set_index("id").iloc[:, 0].reindex(truth.index)
result = measures(found.values, truth.values)
if len(sys.argv) > 3:
    pairs = pd.read_csv(sys.argv[3], dtype={"one": str, "two": str})
    place = pd.Series(np.arange(len(truth)), index=truth.index)
    one, two, w = place[pairs.one].values, place[pairs.two].values, pairs.w.values
    best = None
    for bar in range(-2, 22, 2):
        keep = w >= bar
        found = connected_components(coo_matrix((np.ones(keep.sum(), dtype=np.int8), (one[keep], two[keep])), shape=(len(truth),) * 2), directed=False)[1]
        now = measures(found, truth.values)
        best = now if best is None or now["f1"] > best["f1"] else best
    result["tuned_f1"], result["tuned_b3"] = best["f1"], best["b3"]
print(json.dumps(result))
'''


def run(argv, env=None):
    """Runs a command; its CPU-seconds, peak memory in GiB and wall seconds."""
    began = time.monotonic()
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env)
    error = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{argv[0]} ended with {child.returncode}:\n{error.decode(errors='replace')[-3000:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024 / 1024, time.monotonic() - began


def venv():
    home = CACHE / "identity-venv"
    if not (home / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(home / "bin" / "pip"), "install", "-q", *PINS], check=True)
        (home / "installed").write_text(" ".join(PINS))
    return str(home / "bin" / "python")


def later(binary, file, many, runs):
    """Prints what the last records to come cost, beside one run over all others."""
    with tempfile.TemporaryDirectory() as folder:
        base, more, out, index = (f"{folder}/{name}" for name in ["base.csv", "more.csv", "out.csv", "index"])
        with open(file, newline="") as given, open(base, "w", newline="") as first, open(more, "w", newline="") as rest:
            rows = csv.reader(given)
            header, rows = next(rows), list(rows)
            every = len(rows) // many
            files = [csv.writer(first), csv.writer(rest)]
            for to in files:
                to.writerow(header)
            for at, row in enumerate(rows):
                files[at % every == 0 and at < every * many].writerow(row)
        run([binary, base, "--threads", "1", "--keep", index])
        whole, few = [], []
        for _ in range(runs):
            whole.append(run([binary, base, "--threads", "1", "--out", out])[0])
            few.append(run([binary, more, "--onto", index])[0])
    a, b = statistics.median(whole), statistics.median(few)
    print(f"{len(rows) - many} records in one run {a:.2f} CPU-s ({min(whole):.2f} to {max(whole):.2f}), {many} later {b:.2f} CPU-s "
          f"({min(few):.2f} to {max(few):.2f}): {b / a:.1%}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--threads", default="1")
    parser.add_argument("--binary", help="the program `headwater`, or its example resolve_file (the engine alone, builds fast), built with --release")
    parser.add_argument("--no-splink", action="store_true")
    parser.add_argument("--u", default="1e6", help="random pairs from which Splink estimates u")
    parser.add_argument("--later", type=int, help="so many records come after the others: what they cost")
    parser.add_argument("--runs", type=int, default=3, help="of each, with --later")
    given = parser.parse_args()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", CACHE / "target"))
    binary = pathlib.Path(given.binary) if given.binary else target / "release" / "examples" / "resolve_file"
    if not binary.exists():
        subprocess.run(["cargo", "build", "--release", "-p", "headwater-analysis", "--example", "resolve_file"], cwd=HERE.parent, check=True,
                       env={**os.environ, "CARGO_TARGET_DIR": str(target)})
    if given.later:
        return later(str(binary), given.file, given.later, given.runs)
    python = venv()
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        measure = lambda *files: json.loads(subprocess.run([python, "-c", MEASURE, given.file, *files], check=True, capture_output=True).stdout)
        ours, theirs = f"{folder}/ours.csv", f"{folder}/splink.csv"
        verb = ["resolve"] if binary.stem == "headwater" else []
        cost = run([str(binary), *verb, given.file, "--out", ours, "--threads", given.threads])
        rows["headwater"] = (measure(ours), cost)
        if not given.no_splink:
            cost = run([python, "-c", SPLINK, given.file, theirs, given.u, given.threads])
            rows["splink 5"] = (measure(theirs, theirs + ".pairs"), cost)
    print(f"{'engine':10} {'precision':>9} {'recall':>7} {'F1':>7} {'B-cubed':>8} {'largest':>8} {'CPU-s':>8} {'GiB':>6} {'wall s':>7}")
    for name, (quality, (cpu, memory, wall)) in rows.items():
        q = quality
        print(f"{name:10} {q['precision']:9.4f} {q['recall']:7.4f} {q['f1']:7.4f} {q['b3']:8.4f} {q['largest']:4}/{q['largest_true']:<3} {cpu:8.1f} {memory:6.2f} {wall:7.1f}")
        if "tuned_f1" in q:
            print(f"{'':10} best threshold on the labels: F1 {q['tuned_f1']:.4f}, B-cubed {q['tuned_b3']:.4f}")
    if len(rows) == 2:
        (_, (a, b, _)), (_, (c, d, _)) = rows.values()
        print(f"Headwater takes 1/{c / a:.1f} of the CPU-seconds and 1/{d / b:.1f} of the memory")


if __name__ == "__main__":
    main()
