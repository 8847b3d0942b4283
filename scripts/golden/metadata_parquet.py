#!/usr/bin/env python3
"""Writes source/layout/labelfile/testdata/metadata.parquet by pyarrow: imagefolder's metadata
with a ClassLabel, whose names stand in the schema's metadata and in no alphabetical order, and
which is called as no column of classes is.

Needs pyarrow. Run from the root of the repository.
"""

import json

import pyarrow as pa
import pyarrow.parquet as pq

FEATURES = {"info": {"features": {
    "file_name": {"dtype": "string", "_type": "Value"},
    "breed": {"names": ["pug", "collie", "beagle"], "_type": "ClassLabel"},
    "weight": {"dtype": "int64", "_type": "Value"},
}}}
table = pa.table({
    "file_name": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"],
    "breed": pa.array([1, 0, None, 1], pa.int64()),
    "weight": pa.array([9, 8, 9, 7], pa.int64()),
}).replace_schema_metadata({"huggingface": json.dumps(FEATURES)})
pq.write_table(table, "source/layout/labelfile/testdata/metadata.parquet", compression="zstd")
# Labels that are lists, one of which has two.
pq.write_table(pa.table({"file_name": ["a.jpg", "b.jpg"], "label": [["pug"], ["pug", "collie"]]}),
               "source/layout/labelfile/testdata/metadata-lists.parquet")
