#!/usr/bin/env python3
"""Says SQL to real DuckDB that has a ledger attached as `lake`, and prints the rows of each answer as a line of JSON.

Usage: duckdb.py LEDGER STATEMENT...
"""

import json
import sys
import sysconfig
from pathlib import Path

# This file has the module's name, and stands in the first folder where modules are looked for.
sys.path.pop(0)
import duckdb


def main() -> None:
    ledger, statements = sys.argv[1], sys.argv[2:]
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    for extension in sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*.duckdb_extension")):
        connection.execute(f"LOAD '{extension}'")
    connection.execute(f"ATTACH 'ducklake:sqlite:{ledger}' AS lake (DATA_INLINING_ROW_LIMIT 0)")
    connection.execute("USE lake")
    for statement in statements:
        print(json.dumps(connection.execute(statement).fetchall(), default=str))


if __name__ == "__main__":
    main()
