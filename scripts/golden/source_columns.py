#!/usr/bin/env python3
"""The same four rows as people's files of columns hold them, for source/testdata/columns.

    python scripts/golden/source_columns.py source/testdata/columns

Needs pyarrow, polars and duckdb. Every file holds the images "one", "two", null and "four" (a tail of zeros makes
them as long as a page notices) called a.jpg, b.jpg, a.jpg and nothing, of the classes 0, 2, nothing and 1; what differs is
in the file's name. truth.json says what pyarrow reads.
"""
import json
import os
import sys

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

out = sys.argv[1]
os.makedirs(out, exist_ok=True)
IMAGES = [b"one" + bytes(50), b"two" + bytes(50), None, b"four" + bytes(50)]
PATHS = ["a.jpg", "b.jpg", "a.jpg", None]
LABELS = [0, 2, None, 1]
WNIDS = ["n01440764", "n01443537", "n01484850"]
SYNSETS = [None if n is None else WNIDS[n] for n in LABELS]
HF = {"huggingface": json.dumps({"info": {"features": {
    "image": {"_type": "Image"}, "label": {"names": WNIDS, "_type": "ClassLabel"},
    "tags": [{"dtype": "string", "_type": "Value"}]}}})}
truth = {}


def structs(t=pa.binary(), name=pa.string()):
    rows = [None if b is None else {"bytes": b, "path": p} for b, p in zip(IMAGES, PATHS)]
    return pa.array(rows, pa.struct([("bytes", t), ("path", name)]))


def note(name, columns=("label",), names=True, null_path=False):
    """What the file holds for us: the column of the label, whether rows have names."""
    truth[name] = {"columns": list(columns), "names": names}


def parquet(name, table, columns=("label",), names=True, **kw):
    pq.write_table(table, f"{out}/{name}.parquet", **kw)
    note(name + ".parquet", columns, names)


def label(t=pa.int64()):
    return pa.array(LABELS, t)


hf = pa.table({"image": structs(), "label": label()}).replace_schema_metadata(HF)
for codec in "none", "snappy", "gzip", "brotli", "zstd", "lz4":
    parquet(f"hf-{codec}", hf, compression=codec)
parquet("v2", hf, data_page_version="2.0", version="2.6", compression="zstd")
parquet("groups", hf, row_group_size=1)
parquet("checksums", hf, write_page_checksum=True)
parquet("plain", hf, use_dictionary=False)
parquet("delta", pa.table({"image": pa.array(IMAGES), "path": PATHS, "label": label()}), use_dictionary=False,
        column_encoding={"image": "DELTA_LENGTH_BYTE_ARRAY", "path": "DELTA_BYTE_ARRAY", "label": "DELTA_BINARY_PACKED"})
parquet("large", pa.table({"image": structs(pa.large_binary(), pa.large_string()), "label": label()}))
parquet("no-path", pa.table({"image": pa.array([None if b is None else {"bytes": b} for b in IMAGES]), "label": label()}), names=False)
for name in "image", "bytes", "image_bytes", "jpg", "jpeg", "png", "img", "data":
    parquet(f"binary-{name}", pa.table({name: pa.array(IMAGES), "file_name": PATHS, "label": label()}))
parquet("large-binary", pa.table({"image": pa.array(IMAGES, pa.large_binary()), "path": PATHS, "label": label()}))
for t in "int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64", "float32", "float64":
    parquet(f"label-{t}", pa.table({"image": structs(), "label": label(getattr(pa, t)())}))
for name in "labels", "cls", "class", "target", "category", "class_id", "fine_label":
    parquet(f"column-{name}", pa.table({"image": structs(), name: label()}), columns=(name,))
for name in "synset", "wnid", "label":
    parquet(f"text-{name}", pa.table({"image": structs(), name: SYNSETS}), columns=(name,))
parquet("text-dictionary", pa.table({"image": structs(), "synset": pa.array(SYNSETS).dictionary_encode()}), columns=("synset",))
parquet("two-labels", pa.table({"image": structs(), "label": label(), "other": label(), "synset": SYNSETS}), columns=("label", "synset"))
parquet("webdataset", pa.table({"__key__": PATHS, "__url__": ["x"] * 4, "jpg": structs(), "cls": label(), "json": ["{}"] * 4}), columns=("cls",))
parquet("lists", pa.table({"image": structs(), "label": label(), "boxes": [[1, 2], [], None, [3]], "words": [["a"], [], None, ["b", "c"]]}))
SEVERAL = [[0, 2], [1], None, [1]]
pq.write_table(pa.table({"image": structs(), "label": SEVERAL}), f"{out}/unread-lists.parquet")
pq.write_table(pa.table({"image": structs(), "label": [{"a": 1, "b": 2}] * 4}), f"{out}/unread-structs.parquet")
pq.write_table(pa.table({"image": structs(), "tags": SEVERAL}, metadata={"huggingface": json.dumps({"info": {"features": {
    "image": {"_type": "Image"}, "tags": {"feature": {"names": WNIDS, "_type": "ClassLabel"}, "_type": "Sequence"}}}})}),
    f"{out}/unread-tags.parquet")
pq.write_table(pa.table({"image": structs(), "tags": SEVERAL}, metadata={"huggingface": json.dumps({"info": {"features": {
    "image": {"_type": "Image"}, "tags": [{"names": WNIDS, "_type": "ClassLabel"}]}}})}), f"{out}/unread-tags-old.parquet")
feather.write_feather(pa.table({"image": structs(), "label": SEVERAL}), f"{out}/unread-lists.arrow", compression="uncompressed")
pq.write_table(pa.table({"image": structs(), "label": label(), "labels": SEVERAL}), f"{out}/unread-beside.parquet")
duckdb.register("t", pa.table({"image": structs(), "label": label(pa.int32())}))
duckdb.sql(f"copy t to '{out}/duckdb.parquet' (format parquet)")
note("duckdb.parquet")
polars = pl.DataFrame({"image": pl.Series([None if b is None else {"bytes": b, "path": p} for b, p in zip(IMAGES, PATHS)]),
                       "label": pl.Series(LABELS, dtype=pl.Int16)})
polars.write_parquet(f"{out}/polars.parquet")
note("polars.parquet")


def arrow(name, table, columns=("label",), names=True, stream=False, **kw):
    writer = ipc.new_stream if stream else ipc.new_file
    with pa.OSFile(f"{out}/{name}", "wb") as f, writer(f, table.schema, options=ipc.IpcWriteOptions(**kw)) as w:
        for batch in table.to_batches(max_chunksize=3):
            w.write_batch(batch)
    note(name, columns, names)


arrow("file.arrow", hf)
arrow("stream.arrow", hf, stream=True)
arrow("zstd.arrow", hf, compression="zstd")
arrow("lz4.arrow", hf, compression="lz4")
arrow("plain.arrow", pa.table({"image": pa.array(IMAGES), "path": PATHS, "label": label(pa.int16())}))
arrow("dictionary.arrow", pa.table({"image": structs(), "synset": pa.array(SYNSETS).dictionary_encode()}), columns=("synset",))
arrow("views.arrow", pa.table({"image": pa.array(IMAGES, pa.binary_view()), "path": pa.array(PATHS, pa.string_view()), "label": label()}))
feather.write_feather(hf, f"{out}/feather2.feather")
note("feather2.feather")
for level, name in (pl.CompatLevel.oldest(), "polars-oldest.arrow"), (pl.CompatLevel.newest(), "polars-newest.arrow"):
    polars.write_ipc(f"{out}/{name}", compat_level=level)
    note(name)
polars.write_ipc_stream(f"{out}/polars-stream.arrow")
note("polars-stream.arrow")

# What is refused by name.
feather.write_feather(pa.table({"label": LABELS}), f"{out}/refused-feather1.feather", version=1)
pq.write_table(pa.table({"label": LABELS}), f"{out}/refused-no-image.parquet")
pq.write_table(pa.table({"image": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"], "label": LABELS}), f"{out}/refused-paths.parquet")
pq.write_table(pa.table({"left": structs(), "right": structs()}), f"{out}/refused-two-images.parquet")
for name, twice in (("label", [structs(), pa.array(LABELS), pa.array(SYNSETS)]), ("image", [structs(), structs(), pa.array(LABELS)])):
    t = pa.Table.from_arrays(twice, ["image", name, "label"])
    pq.write_table(t, f"{out}/refused-{name}-twice.parquet")
    with ipc.new_file(f"{out}/refused-{name}-twice.arrow", t.schema) as f:
        f.write_table(t)
json.dump(truth, open(f"{out}/truth.json", "w"), indent=1)
n = 1000
many = pa.table({"image": pa.array([b"image %d" % i for i in range(n)]), "label": pa.array([i % 3 for i in range(n)])})
pq.write_table(many, f"{out}/rows.parquet", row_group_size=300)
