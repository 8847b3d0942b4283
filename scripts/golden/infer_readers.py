#!/usr/bin/env python3
"""Opens what `synshard infer` wrote with other people's readers and wants equal rows.

    infer_readers.py PREDICTIONS...

PREDICTIONS are the same predictions in several formats (.arrow, .arrows, .parquet, .ndjson, .csv). pyarrow, Polars and
DuckDB each read what they can of them; every path, truth, first label and first probability is held to pyarrow's of the
first file. Prints a line a reader and file; ends with 1 at the first difference. Needs pyarrow, polars and duckdb.
"""
import math
import sys

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet


def rows(table):
    """(path, label, first label, first probability) of a list of columns or a flat table."""
    out = []
    for r in table:
        flat = "pred_label_1" in r
        top = r["pred_label_1"] if flat else (r["pred_label"] or [None])[0]
        prob = r["pred_prob_1"] if flat else (r["pred_prob"] or [None])[0]
        out.append((r["path"], r["label"], top, prob))
    return out


def with_pyarrow(name):
    if name.endswith(".arrow"):
        return pa.ipc.open_file(name).read_all().to_pylist()
    if name.endswith(".arrows"):
        return pa.ipc.open_stream(name).read_all().to_pylist()
    if name.endswith(".parquet"):
        return pa.parquet.read_table(name).to_pylist()
    if name.endswith(".ndjson"):
        return pa.json.read_json(name).to_pylist()
    return pa.csv.read_csv(name).to_pylist()


def with_polars(name):
    read = {"arrow": pl.read_ipc, "arrows": pl.read_ipc_stream, "parquet": pl.read_parquet, "ndjson": pl.read_ndjson, "csv": pl.read_csv}
    return read[name.rsplit(".", 1)[1]](name).to_dicts()


def with_duckdb(name):
    if name.endswith((".arrow", ".arrows")):  # by way of pyarrow's table
        predictions = pa.ipc.open_file(name).read_all() if name.endswith(".arrow") else pa.ipc.open_stream(name).read_all()
        got = duckdb.sql("select * from predictions")
    else:
        read = {"parquet": duckdb.read_parquet, "ndjson": duckdb.read_json, "csv": duckdb.read_csv}[name.rsplit(".", 1)[1]]
        got = read(name)
    return [dict(zip(got.columns, r)) for r in got.fetchall()]


want = None
for name in sys.argv[1:]:
    for reader in (with_pyarrow, with_polars, with_duckdb):
        got = rows(reader(name))
        want = want or got
        if len(got) != len(want):
            sys.exit(f"infer_readers: {reader.__name__}: {name} has {len(got)} rows, not {len(want)}")
        for a, b in zip(got, want):
            near = a[3] is b[3] is None or a[3] is not None and b[3] is not None and math.isclose(a[3], b[3], rel_tol=1e-6)
            if a[:3] != b[:3] or not near:
                sys.exit(f"infer_readers: {reader.__name__}: {name}: {a}, not {b}")
        print(f"{reader.__name__[5:]:8} {name}: {len(got)} rows")
