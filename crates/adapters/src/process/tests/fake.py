"""A tap, a source and a target that misbehave as their configuration says; made for the tests beside this file."""
import json, os, signal, subprocess, sys, time

kind, arguments = sys.argv[1], sys.argv[2:]


def option(name):
    return arguments[arguments.index(name) + 1] if name in arguments else None


def load(name):
    path = option(name)
    return json.load(open(path)) if path else None


config = load("--config")
fault = config.get("fault")
FIELDS = {"id": {"type": "integer"}, "email": {"type": "string"}, "score": {"type": "number"}}


def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def misbehave(at):
    """Does what the configuration wants done when record number `at` is due."""
    if at != config.get("at", 6):
        return
    if fault == "crash":
        print("Traceback: token", config.get("token"), "of ada@example.com", file=sys.stderr)
        sys.exit(3)
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "hang":
        helper = subprocess.Popen(["sleep", "1000"])
        open(config["pids"], "w").write(f"{os.getpid()} {helper.pid}")
        time.sleep(1000)
    if fault == "leaves":
        helper = subprocess.Popen(["sleep", "1000"])
        open(config["pids"], "w").write(f"{os.getpid()} {helper.pid}")
    if fault == "chatter":
        for _ in range(20):
            print("still working", file=sys.stderr, flush=True)
            time.sleep(0.1)
    if fault == "garbage":
        print('{"type": "RECORD", "stream": "people", "reco')
    if fault == "prose":
        print("Processing page 7")
    if fault == "long":
        say({"type": "RECORD", "stream": "people", "record": {"email": "x" * 2_000_000}})
    if fault == "flood":
        print("e" * 3_000_000, file=sys.stderr)


def record(n):
    return {"id": n, "email": f"person.{n}@example.com", "score": n / 2}


def tap():
    if "--discover" in arguments:
        if fault == "no_catalog":
            print("usage: tap")
            return
        streams = [
            {"tap_stream_id": name, "stream": name, "key_properties": ["id"], "schema": {"type": "object", "properties": FIELDS}, "metadata": []}
            for name in ("people", "other")
        ]
        print(json.dumps({"streams": streams}, indent=2))
        return
    chosen = [s["stream"] for s in load(config.get("argument", "--catalog"))["streams"] if s["schema"]["selected"]]
    assert chosen == ["people"], chosen
    start = (load("--state") or {}).get("seen", 0)
    if fault != "no_schema":
        say({"type": "SCHEMA", "stream": "people", "schema": {}, "key_properties": ["id"]})
    say({"type": "RECORD", "stream": "other", "record": {"id": 99}})
    for n in range(start, 10):
        misbehave(n)
        if n == config.get("without"):
            continue
        say({"type": "RECORD", "stream": "people", "record": record(n)})
        if n % 2 and fault != "no_state":
            say({"type": "STATE", "value": {"seen": n + 1, "exact": 12345678901234567890123}})
    if fault == "batch":
        say({"type": "BATCH", "stream": "people", "manifest": []})
    if fault == "unknown":
        say({"type": "ROWS", "stream": "people"})
    counted = config.get("counted", 10 - start)
    print('INFO METRIC: {"type": "counter", "metric": "record_count", "value": %d, "tags": {"stream": "people"}}' % counted, file=sys.stderr)


def source():
    operation = arguments[0]
    say({"type": "LOG", "log": {"level": "INFO", "message": "working"}})
    if operation == "check":
        status = {"status": "FAILED", "message": f"wrong token {config['token']}"} if fault == "refused" else {"status": "SUCCEEDED"}
        say({"type": "CONNECTION_STATUS", "connectionStatus": status})
        return
    if operation == "discover":
        modes = ["full_refresh"] if config.get("full") else ["full_refresh", "incremental"]
        stream = {"name": "people", "json_schema": {"properties": FIELDS}, "supported_sync_modes": modes}
        stream |= {"source_defined_cursor": True, "default_cursor_field": ["id"], "source_defined_primary_key": [["id"]]}
        say({"type": "CATALOG", "catalog": {"streams": [stream]}})
        return
    [asked] = load("--catalog")["streams"]
    state, start = load("--state"), 0
    if state and config.get("legacy"):
        start = state["seen"]
    elif state:
        [one] = state
        start = one["stream"]["stream_state"]["seen"]
    since = 0
    for n in range(start, 10):
        misbehave(n)
        if n == config.get("without"):
            continue
        if fault == "trace" and n == 6:
            error = {"message": f"refused {config['token']}", "failure_type": "config_error"}
            say({"type": "TRACE", "trace": {"type": "ERROR", "emitted_at": 1.5, "error": error}})
            sys.exit(1)
        say({"type": "RECORD", "record": {"stream": "people", "data": record(n), "emitted_at": 1, "namespace": None}})
        since += 1
        if n % 2 and config.get("legacy"):
            say({"type": "STATE", "state": {"data": {"seen": n + 1}}})
        elif n % 2:
            one = {"stream_descriptor": {"name": "people"}, "stream_state": {"seen": n + 1}}
            said = since + 1 if fault == "miscount" and n == 7 else since
            say({"type": "STATE", "state": {"type": "STREAM", "stream": one, "sourceStats": {"recordCount": float(said)}}})
            since = 0
    status = "INCOMPLETE" if fault == "incomplete" else "COMPLETE"
    status = {"stream_descriptor": {"name": "people"}, "status": status}
    say({"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": 1.5, "stream_status": status}})


def target():
    """Keeps records by key in one file; `appends` adds a line for each to another."""
    path = config["file"]
    held = json.load(open(path)) if os.path.exists(path) else {}
    state, first = None, True
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "SCHEMA":
            [key] = message["key_properties"]
        elif message["type"] == "STATE":
            state = message["value"]
        elif message["type"] == "RECORD":
            if fault == "crash":
                print("cannot load", message["record"], message["record"]["email"], "Ashgrove", file=sys.stderr)
                sys.exit(1)
            if fault == "validates" and "Poison" in json.dumps(message["record"]):
                # What was loaded before stays, as in targets that load as they read.
                json.dump(held, open(path, "w"))
                print("cannot load", message["record"], file=sys.stderr)
                sys.exit(1)
            if fault == "hang":
                time.sleep(1000)
            if not (fault == "loses_first" and first):
                held[message["record"][key]] = message["record"]
                open(path + ".jsonl", "a").write(json.dumps(message["record"]) + "\n")
            first = False
    json.dump(held, open(path, "w"))
    if fault == "exits":
        sys.exit(1)
    if fault == "stale_state":
        state = {"bookmarks": {}}
    if state is not None and fault != "silent":
        print(json.dumps(state))


{"tap": tap, "source": source, "target": target}[kind]()
