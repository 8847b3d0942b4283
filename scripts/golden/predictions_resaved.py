#!/usr/bin/env python3
"""Saves predictions again with pyarrow, pandas, Polars and DuckDB, as people do on their way to eval.

    python scripts/golden/predictions_resaved.py infer/prediction/testdata/v1 infer/prediction/testdata/resaved
"""
import os
import sys

import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

src, out = sys.argv[1:]


def at(name):
    return os.path.join(out, name)


table = pq.read_table(os.path.join(src, "predictions.parquet"))
with pa.ipc.open_file(os.path.join(src, "predictions.arrow")) as f:
    arrow = f.read_all()

# The metadata stay: the columns' sums must hold.
pq.write_table(table, at("pyarrow.parquet"), row_group_size=3)
pq.write_table(table.select(["path", "label", "pred_label", "pred_prob", "error"]), at("pyarrow-some.parquet"))
kinds = arrow.set_column(0, "path", arrow["path"].cast(pa.large_string()))
kinds = kinds.set_column(1, "label", kinds["label"].cast(pa.int16()))
kinds = kinds.set_column(2, "synset", kinds["synset"].dictionary_encode())
kinds = kinds.set_column(3, "pred_label", kinds["pred_label"].cast(pa.list_(pa.int64())).cast(pa.list_(pa.uint8())))
kinds = kinds.set_column(5, "pred_prob", kinds["pred_prob"].cast(pa.list_(pa.float32())).cast(pa.large_list(pa.float64())))
with pa.OSFile(at("pyarrow-kinds.arrow"), "wb") as f, pa.ipc.new_file(f, kinds.schema) as w:
    w.write_table(kinds, max_chunksize=4)
with pa.OSFile(at("pyarrow-kinds.arrows"), "wb") as f, pa.ipc.new_stream(f, kinds.schema) as w:
    w.write_table(kinds)
pyarrow.feather.write_feather(arrow.select(["path", "label", "pred_label", "pred_prob"]), at("pyarrow.feather"), compression="zstd")

# These keep no metadata: the classes must be given.
frame = table.drop(["embedding"]).to_pandas()
frame.to_parquet(at("pandas.parquet"))
frame.to_json(at("pandas.ndjson"), orient="records", lines=True)
pandas.read_csv(os.path.join(src, "predictions.csv")).to_csv(at("pandas.csv"))
polars.from_arrow(table.drop(["embedding"])).write_parquet(at("polars.parquet"))
polars.from_arrow(table.drop(["embedding"])).write_ipc(at("polars.arrow"))
polars.from_arrow(table.drop(["embedding"])).write_ndjson(at("polars.ndjson"))
polars.read_csv(os.path.join(src, "predictions.csv")).write_csv(at("polars.csv"))
rows = table.drop(["embedding"])
duckdb.sql("copy (select path, label::integer as label, synset, pred_label::integer[] as pred_label, pred_prob, probabilities, error from rows) to '%s'" % at("duckdb.parquet"))
duckdb.sql("copy (select * from '%s') to '%s' (header, delimiter ',')" % (os.path.join(src, "predictions.csv"), at("duckdb.csv")))
duckdb.sql("copy (select path, label, pred_label, pred_prob from rows) to '%s' (format json)" % at("duckdb.ndjson"))
