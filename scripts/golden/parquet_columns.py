#!/usr/bin/env python3
"""Small Parquet files of every codec, encoding and writer that people have, and what pyarrow reads in them.

    python scripts/golden/parquet_columns.py internal/parquet/testdata

Needs pyarrow, polars and duckdb.
"""
import json
import os
import sys

import duckdb
import numpy
import polars
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 20
out = sys.argv[1]


def table():
    rng = numpy.random.default_rng(7)
    labels = [None if i % 7 == 3 else int(rng.integers(0, 5)) for i in range(ROWS)]
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.table({
        "path": pa.array([f"d/img{i % 4}.jpg" for i in range(ROWS)]),
        "label": pa.array(labels, pa.int64()),
        "small": pa.array([v if v is None else 250 + v for v in labels], pa.uint8()),
        "unsigned": pa.array([2**32 - 1 - i for i in range(ROWS)], pa.uint32()),
        "half": pa.array(rng.random(ROWS).astype(numpy.float16)),
        "single": pa.array(rng.random(ROWS).astype(numpy.float32)),
        "holes": pa.array([v if v is None else float(v) for v in labels], pa.float64()),
        "tops": pa.array([None if i % 6 == 0 else [int(v) for v in rng.integers(0, 5, i % 4)] for i in range(ROWS)], pa.list_(pa.int64())),
        "probs": pa.array([[float(v) for v in rng.random(3)] for _ in range(ROWS)], pa.list_(pa.float32())),
        "names": pa.array([[f"n{i}", None, "x"] for i in range(ROWS)], pa.list_(pa.string())),
        "image": pa.array([{"bytes": bytes(rng.integers(0, 256, 30, dtype=numpy.uint8)), "path": f"{i}.jpg"} for i in range(ROWS)], image),
        "category": pa.array([f"c{i % 3}" for i in range(ROWS)]).dictionary_encode(),
    }).replace_schema_metadata({"said": "so"})


def values(column):
    """Every row as the list of its values that are there; bytes as numbers."""
    rows = []
    for v in column.to_pylist():
        row = v if isinstance(v, list) else [v]
        rows.append([list(x) if isinstance(x, bytes) else x for x in row if x is not None])
    return rows


t = table()
flat = t.flatten()
golden = {name.replace(".", "/"): values(flat[name]) for name in flat.column_names}
for codec in ["none", "snappy", "gzip", "brotli", "lz4", "zstd"]:
    pq.write_table(t, os.path.join(out, f"{codec}.parquet"), compression=codec, data_page_version="2.0" if codec in ("none", "zstd") else "1.0",
                   use_dictionary=codec in ("snappy", "lz4"), row_group_size=ROWS // 2, data_page_size=100)
pq.write_table(t, os.path.join(out, "delta.parquet"), use_dictionary=False, data_page_version="2.0", column_encoding={
    "path": "DELTA_BYTE_ARRAY", "label": "DELTA_BINARY_PACKED", "image.path": "DELTA_LENGTH_BYTE_ARRAY", "probs.list.element": "BYTE_STREAM_SPLIT"})
polars.from_arrow(t.drop(["half"])).write_parquet(os.path.join(out, "polars.parquet"))
others = t.drop(["half"])
duckdb.sql("copy (select * from others) to '%s'" % os.path.join(out, "duckdb.parquet"))
with open(os.path.join(out, "golden.json"), "w") as f:
    json.dump(golden, f)
    f.write("\n")
