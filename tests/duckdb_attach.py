#!/usr/bin/env python3
"""Reads a ledger with real DuckDB, now and at its earlier snapshots.

Usage: duckdb_attach.py LEDGER '{"lead": 3, "touch": 2}'

Fails if a table has another count of rows than expected (none named: none), if the count that the catalog tells is not the count
of the rows that are read, or if a filter on a column's smallest or largest value does not find it (the catalog's bounds are wrong).

Needs: pip install duckdb==1.5.5 duckdb-extension-ducklake==1.5.5 duckdb-extension-sqlite-scanner==1.5.5 pytz
"""

import json
import sys
import sysconfig
from pathlib import Path

import duckdb

# Snapshots are looked at from the last one backwards.
SNAPSHOTS = 3


def connect(ledger: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    for extension in sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*.duckdb_extension")):
        connection.execute(f"LOAD '{extension}'")
    connection.execute(f"ATTACH 'ducklake:sqlite:{ledger}' AS lake (READ_ONLY)")
    return connection


def one(connection: duckdb.DuckDBPyConnection, query: str, *values: object) -> tuple:
    return connection.execute(query, list(values)).fetchone()


def check_table(connection: duckdb.DuckDBPyConnection, name: str, at: str) -> tuple[int, list[str]]:
    """The table's count of rows, and what is wrong with it."""
    table = f'lake.main."{name}"{at}'
    wrong = []
    (count,) = one(connection, f"SELECT count(*) FROM {table}")
    # The count alone comes from the catalog; hashing every column reads every value.
    (read,) = one(connection, f"SELECT count(*) FROM (SELECT hash(COLUMNS(*)) FROM {table})")
    if count != read:
        wrong.append(f"{name}{at}: the catalog says {count} rows, {read} were read")
    for column, *_ in connection.execute(f"DESCRIBE SELECT * FROM {table}").fetchall():
        # With a random number beside it, no value can be answered from the catalog's bounds.
        unaided = f'FROM (SELECT "{column}" AS it, random() AS chance FROM {table}) WHERE chance >= 0'
        for bound in one(connection, f"SELECT min(it), max(it) {unaided}"):
            if bound is not None and not one(connection, f'SELECT count(*) FROM {table} WHERE "{column}" = ?', bound)[0]:
                wrong.append(f"{name}.{column}{at}: a filter does not find the bound of the column")
    return read, wrong


def main() -> int:
    ledger, expected = sys.argv[1], json.loads(sys.argv[2])
    connection = connect(ledger)
    wrong = []
    names = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name = 'main'")
    tables = sorted(name for (name,) in names.fetchall())
    for name in sorted(set(expected) - set(tables)):
        wrong.append(f"{name}: no such table")
    for name in tables:
        read, faults = check_table(connection, name, "")
        wrong.extend(faults)
        print(f"{name}: {read} rows")
        if read != expected.get(name, 0):
            wrong.append(f"{name}: {read} rows, {expected.get(name, 0)} expected")
    snapshots = connection.execute("SELECT snapshot_id FROM ducklake_snapshots('lake') WHERE snapshot_id > 0 ORDER BY 1 DESC LIMIT ?", [SNAPSHOTS])
    for (snapshot,) in snapshots.fetchall():
        total = 0
        for name in tables:
            read, faults = check_table(connection, name, f" AT (VERSION => {snapshot})")
            wrong.extend(faults)
            total += read
        print(f"snapshot {snapshot}: {total} rows")
    for fault in wrong:
        print(fault, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
