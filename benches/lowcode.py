#!/usr/bin/env python3
"""Runs one Airbyte manifest by Headwater and by airbyte-cdk against one local server, in turns, and prints a table.

usage: benches/lowcode.py [--rows 200000] [--runs 3] [--binary PATH] [--peer PATH | --no-peer]

Three cases: a plain manifest; one with a record filter, three added fields and a removed one; four streams of a server that
answers after 20 ms, with the plain manifest's requests. Figures are CPU-seconds (user and system), peak resident memory, the time
to the first record and the whole time, the median of the runs. Machines differ and are noisy: compare the ratios.

The binary is `headwater`, which is built in release if it is not given, and run as `headwater read --manifest`. The peer comes from PyPI into a virtual
environment in the user's cache unless its program `source-declarative-manifest` is given. Needs Python >= 3.10.
"""
import argparse, asyncio, json, os, pathlib, statistics, subprocess, sys, tempfile, time, urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "headwater"
CDK = "airbyte-cdk==7.39.1"
PAGE = 100
DELAY = 0.020
STREAMS = 4


def lead(n):
    """A made-up lead of 14 fields, one of them an object and one a list."""
    return {
        "id": n, "email": f"lead{n}@mail{n % 991}.example", "first_name": f"Given{n % 997}", "last_name": f"Family{n % 4999}",
        "company": {"id": n % 8999, "name": f"Works {n % 8999} Ltd", "domain": f"W{n % 8999}.example"},
        "phone": f"+44 20 7946 {n % 10000:04d}", "title": "Head of Sales", "tags": ["lead", "web"], "score": n % 100,
        "subscribed": n % 3 == 0, "created_at": "2026-01-01T00:00:00Z", "updated_at": f"2026-{1 + n % 12:02d}-{1 + n % 28:02d}T10:00:00Z",
        "origin": "form", "country": "GB",
    }


def serve(rows, delay):
    """Pages by cursor, written before the first request: the server's own work is out of the measure as far as it can be."""
    count = max(1, -(-rows // PAGE))
    pages = []
    for page in range(count):
        data = [lead(n) for n in range(page * PAGE, min(rows, (page + 1) * PAGE))]
        body = json.dumps({"data": data, "next": f"c{page + 1}" if page + 1 < count else None}).encode()
        pages.append(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async def answer(reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(head.split(b" ", 2)[1].decode()).query)
                if delay:
                    await asyncio.sleep(delay)
                writer.write(pages[int(query.get("cursor", ["c0"])[0][1:])])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def main():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        async with server:
            await server.serve_forever()

    asyncio.run(main())


def manifest(streams, changes):
    selector = {"type": "RecordSelector", "extractor": {"type": "DpathExtractor", "field_path": ["data"]}}
    steps = []
    if changes:
        selector["record_filter"] = {"type": "RecordFilter", "condition": "{{ record['score'] >= 0 }}"}
        added = {
            "full_name": "{{ record['first_name'] ~ ' ' ~ record['last_name'] }}",
            "company_domain": "{{ record['company']['domain'] | lower }}",
            "stream": "leads",
        }
        fields = [{"type": "AddedFieldDefinition", "path": [name], "value": value} for name, value in added.items()]
        steps = [{"type": "AddFields", "fields": fields}, {"type": "RemoveFields", "field_pointers": [["tags"]]}]
    option = lambda name: {"type": "RequestOption", "inject_into": "request_parameter", "field_name": name}
    paginator = {
        "type": "DefaultPaginator", "page_size_option": option("limit"), "page_token_option": option("cursor"),
        "pagination_strategy": {
            "type": "CursorPagination", "page_size": PAGE, "cursor_value": "{{ response['next'] }}",
            "stop_condition": "{{ not response['next'] }}",
        },
    }
    requester = {
        "type": "HttpRequester", "url_base": "{{ config['url'] }}", "path": "/leads", "http_method": "GET",
        "authenticator": {"type": "BearerAuthenticator", "api_token": "{{ config['key'] }}"},
    }
    stream = lambda name: {
        "type": "DeclarativeStream", "name": name, "primary_key": ["id"], "transformations": steps,
        "retriever": {"type": "SimpleRetriever", "requester": requester, "record_selector": selector, "paginator": paginator},
        "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object", "additionalProperties": True, "properties": {}}},
    }
    return {
        "version": "6.0.0", "type": "DeclarativeSource", "check": {"type": "CheckStream", "stream_names": streams[:1]},
        "streams": [stream(name) for name in streams],
        "concurrency_level": {"type": "ConcurrencyLevel", "default_concurrency": STREAMS},
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {
            "url": {"type": "string"}, "key": {"type": "string", "airbyte_secret": True}}}},
    }


def measure(argv, expected):
    """CPU-seconds, MiB, milliseconds to the first record, seconds in all."""
    began, first, records = time.perf_counter(), None, 0
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in child.stdout:
        if line.startswith((b'{"type":"RECORD"', b'{"type": "RECORD"')):
            first = first or time.perf_counter() - began
            records += 1
    wall = time.perf_counter() - began
    error = child.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode or records != expected:
        sys.exit(f"{argv[0]} ended with {child.returncode} after {records} of {expected} records:\n{error[-2000:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, first * 1000, wall


def built(path):
    if path:
        return str(pathlib.Path(path).resolve())
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", CACHE / "target"))
    if not (target / "release" / "headwater").exists():
        subprocess.run(["cargo", "build", "--release", "-p", "headwater-cli"], cwd=ROOT, check=True,
                       env={**os.environ, "CARGO_TARGET_DIR": str(target)})
    return str(target / "release" / "headwater")


def installed(path):
    if path:
        return str(pathlib.Path(path).resolve())
    venv = CACHE / "bench-cdk"
    if not (venv / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(venv / "bin" / "pip"), "install", "-q", CDK], check=True)
        (venv / "installed").write_text(CDK)
    return str(venv / "bin" / "source-declarative-manifest")


def commands(ours, peer, files):
    spec, config, catalog = (str(file) for file in files)
    one = [ours, "read", "--manifest", spec, "--config", config, "--catalog", catalog, "--allow-host", "127.0.0.1"]
    two = [peer, "read", "--manifest-path", spec, "--config", config, "--catalog", catalog] if peer else None
    return one, two


def case(work, ours, peer, runs, rows, streams, changes, delay):
    """The samples of both programs, which take turns."""
    server = subprocess.Popen([sys.executable, __file__, "--serve", str(rows), str(delay)], stdout=subprocess.PIPE)
    try:
        port = int(server.stdout.readline())
        names = [f"leads_{n}" for n in range(streams)]
        catalog = {"streams": [{
            "stream": {"name": name, "json_schema": {"type": "object"}, "supported_sync_modes": ["full_refresh"]},
            "sync_mode": "full_refresh", "destination_sync_mode": "append"} for name in names]}
        contents = [manifest(names, changes), {"url": f"http://127.0.0.1:{port}", "key": "made-up"}, catalog]
        files = [pathlib.Path(work) / name for name in ("manifest.yaml", "config.json", "catalog.json")]
        for file, content in zip(files, contents):
            file.write_text(json.dumps(content))
        one, two = commands(ours, peer, files)
        samples, theirs = [], []
        for _ in range(runs):
            samples.append(measure(one, rows * streams))
            if two:
                theirs.append(measure(two, rows * streams))
        return samples, theirs
    finally:
        server.terminate()
        server.wait()


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rows", type=int, default=200_000)
    args.add_argument("--runs", type=int, default=3)
    args.add_argument("--binary")
    args.add_argument("--peer")
    args.add_argument("--no-peer", action="store_true")
    args.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    args = args.parse_args()
    if args.serve:
        return serve(int(args.serve[0]), float(args.serve[1]))
    ours, peer = built(args.binary), None if args.no_peer else installed(args.peer)
    slow = max(PAGE, args.rows // 20)
    pages = slow // PAGE
    cases = [
        (f"plain, {args.rows:,} rows", (args.rows, 1, False, 0)),
        (f"filter and transforms, {args.rows:,} rows", (args.rows, 1, True, 0)),
        (f"{STREAMS} streams x {pages} pages of {DELAY * 1000:.0f} ms", (slow, STREAMS, False, DELAY)),
    ]
    print(f"{'':38} {'program':14} {'rows/CPU-s':>11} {'CPU-s':>7} {'MiB':>5} {'first ms':>9} {'wall s':>7}")
    with tempfile.TemporaryDirectory(prefix="headwater-bench-") as work:
        for name, shape in cases:
            samples, theirs = case(work, ours, peer, args.runs, *shape)
            rows = shape[0] * shape[1]
            for program, found in (("headwater", samples), (CDK.replace("==", " "), theirs)):
                if found:
                    cpu, memory, first, wall = (statistics.median(column) for column in zip(*found))
                    print(f"{name:38} {program[:14]:14} {rows / cpu:11,.0f} {cpu:7.2f} {memory:5.0f} {first:9.0f} {wall:7.2f}", flush=True)
            if theirs:
                ratio = statistics.median(b[0] / a[0] for a, b in zip(samples, theirs))
                print(f"{'':38} {ratio:.1f} times the rows per CPU-second (pair by pair, median)", flush=True)
    print(f"\none after the other, the last case's waits alone are {STREAMS * pages * DELAY:.1f} s; with {STREAMS} in flight {pages * DELAY:.1f} s")


if __name__ == "__main__":
    main()
