#!/usr/bin/env python3
"""Opens a synshard dataset with other people's readers and wants equal rows.

    shard_readers.py DATASET

pyarrow (hive partitioning), Polars (scan_ipc) and Hugging Face datasets
(load_dataset("arrow")) read the shards; every row is held to the index, every
picture to its sha256, its crc32c's place in the file to its bytes. Prints a
line a reader; ends with 1 at the first difference.
Needs pyarrow, polars, datasets and pillow.
"""
import glob
import hashlib
import json
import os
import sys
import tempfile

import pyarrow as pa
import pyarrow.dataset as ds


def want(condition, text):
    if not condition:
        sys.exit(f"shard_readers: {text}")


def index(root, split):
    """Rows of the index by path."""
    table = pa.ipc.open_file(os.path.join(root, split, "index.arrow")).read_all()
    table.validate(full=True)
    rows = table.to_pylist()
    for row in rows:
        with open(os.path.join(root, row["file"]), "rb") as f:
            f.seek(row["offset"])
            data = f.read(row["length"])
        want(hashlib.sha256(data).digest() == row["sha256"], f"{row['path']} does not lie where the index says")
    return {row["path"]: row for row in rows}


COLUMNS = ["label", "synset", "ilsvrc2012_id", "width", "height", "format", "mode", "sha256", "objects"]


def compare(reader, split, rows, expected):
    want(len(rows) == len(expected), f"{reader}: {split} has {len(rows)} rows, the index {len(expected)}")
    for row in rows:
        image = row["image"]
        other = expected[image["path"]]
        want(hashlib.sha256(image["bytes"]).digest() == other["sha256"], f"{reader}: bytes of {image['path']}")
        for column in COLUMNS:
            a, b = row[column], other[column]
            if column == "objects":
                a, b = list(a or []), list(b or [])
            want(a == b, f"{reader}: {split} {image['path']} {column}: {a!r}, the index has {b!r}")


def shards(root, split):
    return sorted(glob.glob(os.path.join(root, split, "synset=*", "*.arrow")) + glob.glob(os.path.join(root, split, "part-*.arrow")))


def read_pyarrow(root, split, expected):
    data = ds.dataset(shards(root, split), format="ipc", partitioning="hive")
    table = data.to_table()
    table.validate(full=True)
    compare("pyarrow", split, table.to_pylist(), expected)
    for path in shards(root, split):  # as a stream too: the end-of-stream marker is there
        with open(path, "rb") as f:
            f.seek(8)
            stream = pa.ipc.open_stream(f)
            want(sum(b.num_rows for b in stream) == pa.ipc.open_file(path).read_all().num_rows, f"pyarrow: {path} as a stream")
        batches = pa.ipc.open_file(path)
        for i in range(batches.num_record_batches):
            want(batches.get_batch(i).num_rows <= 64, f"{path}: a batch of more than 64 rows")


def read_polars(root, split, expected):
    import polars

    pattern = "synset=*/*.arrow" if glob.glob(os.path.join(root, split, "synset=*")) else "part-*.arrow"
    frame = polars.scan_ipc(os.path.join(root, split, pattern), hive_partitioning=True).collect()
    compare("polars", split, frame.to_dicts(), expected)


def read_datasets(root, split, expected, classes, cache):
    import datasets

    datasets.disable_progress_bars()
    data = datasets.load_dataset("arrow", data_files={split: shards(root, split)}, split=split, cache_dir=cache)
    want(isinstance(data.features["image"], datasets.Image), f"datasets: image is {data.features['image']}")
    if any(row["label"] is not None for row in expected.values()):
        label = data.features["label"]
        want(isinstance(label, datasets.ClassLabel), f"datasets: label is {label}")
        want(label.num_classes == classes, f"datasets: {label.num_classes} classes, want {classes}")
    for row in data:
        row["image"].load()
    plain = data.cast_column("image", datasets.Image(decode=False))
    compare("datasets", split, list(plain), expected)
    first, path = data[0]["image"], plain[0]["image"]["path"]
    want(first.size == (expected[path]["width"], expected[path]["height"]), "datasets: size of the first picture")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = sys.argv[1]
    with open(os.path.join(root, "dataset.json")) as f:
        manifest = json.load(f)
    classes = pa.ipc.open_file(os.path.join(root, "classes.arrow")).read_all()
    classes.validate(full=True)
    synsets = classes.column("synset").to_pylist()
    want(synsets == sorted(synsets) and classes.column("label").to_pylist() == list(range(len(synsets))), "classes are out of order")
    with tempfile.TemporaryDirectory() as cache:
        for split, info in sorted(manifest["splits"].items()):
            expected = index(root, split)
            want(len(expected) == info["rows"], f"{split}: {len(expected)} rows, the manifest says {info['rows']}")
            read_pyarrow(root, split, expected)
            read_polars(root, split, expected)
            read_datasets(root, split, expected, len(synsets), cache)
            print(f"{split}: {len(expected)} rows, equal in pyarrow, polars and datasets")


if __name__ == "__main__":
    main()
