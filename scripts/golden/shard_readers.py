#!/usr/bin/env python3
"""Opens a synshard dataset with other people's readers and wants equal rows.

    shard_readers.py DATASET [EXPORTS]

pyarrow (hive partitioning), Polars (scan_ipc), DuckDB (over Arrow) and Hugging
Face datasets (load_dataset("arrow")) read the shards; every row is held to the
index, every image to its sha256, its crc32c's place in the file to its bytes.
Prints a line a reader; ends with 1 at the first difference.
Needs pyarrow, polars, duckdb, datasets and pillow.
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
    return {(row["synset"], row["path"]): row for row in rows}


COLUMNS = ["label", "synset", "ilsvrc2012_id", "width", "height", "format", "mode", "sha256", "objects"]


def compare(reader, split, rows, expected):
    want(len(rows) == len(expected), f"{reader}: {split} has {len(rows)} rows, the index {len(expected)}")
    for row in rows:
        image = row["image"]
        other = expected[row["synset"], image["path"]]
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


def read_duckdb(root, split, expected):
    import duckdb

    data = ds.dataset(shards(root, split), format="ipc", partitioning="hive")
    con = duckdb.connect()
    con.register("rows", data.to_table())
    table = con.sql("SELECT * FROM rows").to_arrow_table()
    table.validate(full=True)
    compare("duckdb", split, table.to_pylist(), expected)
    names = con.execute("SELECT count(DISTINCT (synset, image.path)) FROM rows").fetchone()[0]
    want(names == len(expected), f"duckdb: {split} has {names} names of {len(expected)} rows")


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
    first, row = data[0]["image"], expected[plain[0]["synset"], plain[0]["image"]["path"]]
    want(first.size == (row["width"], row["height"]), "datasets: size of the first image")


def digests(expected):
    """Sums and labels of a split."""
    return [(row["sha256"], row["label"]) for row in expected.values()]


def read_folder(root, split, expected, synsets):
    from torchvision.datasets import ImageFolder

    if any(row["label"] is None for row in expected.values()):
        return "nothing (ImageFolder wants labels)"
    data = ImageFolder(os.path.join(root, split), allow_empty=True, is_valid_file=lambda path: True)
    want(data.classes == synsets, f"folder: classes {data.classes}")
    got = []
    for path, label in data.samples:
        with open(path, "rb") as f:
            got.append((hashlib.sha256(f.read()).digest(), label))
        data.loader(path)
    want(sorted(got) == sorted(digests(expected)), f"folder: {split} differs")
    return "ImageFolder"


def read_hf(root, split, expected, synsets, cache):
    import datasets

    name = "validation" if split == "val" else split
    data = datasets.load_dataset(root, split=name, cache_dir=cache)
    want(isinstance(data.features["image"], datasets.Image), f"hf: image is {data.features['image']}")
    want(data.features["label"].names == synsets, f"hf: label is {data.features['label']}")
    data[0]["image"].load()
    plain = data.cast_column("image", datasets.Image(decode=False))
    got = [(hashlib.sha256(row["image"]["bytes"]).digest(), row["label"]) for row in plain]
    want(sorted(got, key=str) == sorted(digests(expected), key=str), f"hf: {split} differs")
    return "load_dataset"


def read_webdataset(root, split, expected):
    files = sorted(glob.glob(os.path.join(root, f"{split}-*.tar")))
    try:
        import webdataset
    except ImportError:
        samples, how = group_tars(files), "tars by WebDataset's rules (the library is not installed)"
    else:
        samples, how = list(webdataset.WebDataset(files, shardshuffle=False)), "webdataset"
    got = []
    for s in samples:
        image = s.get("jpg") or s.get("png")
        label = int(s["cls"]) if "cls" in s else None
        about = json.loads(s["json"])
        want(about.get("label") == label, f"webdataset: {about}")
        got.append((hashlib.sha256(image).digest(), label))
    want(sorted(got, key=str) == sorted(digests(expected), key=str), f"webdataset: {split} differs")
    return how


def group_tars(files):
    """Neighbouring members with the same name before the first dot are a sample."""
    import tarfile

    samples = []
    for name in files:
        last = None
        with tarfile.open(name) as tar:
            for member in tar:
                key, ext = member.name.split(".", 1)
                if key != last:
                    samples.append({})
                    last = key
                want(ext not in samples[-1], f"webdataset: {member.name} twice")
                samples[-1][ext] = tar.extractfile(member).read()
    return samples


def read_tar(root, split, expected):
    import tarfile

    got = []
    with tarfile.open(os.path.join(root, f"{split}.tar")) as tar:
        for member in tar:
            synset, _, _ = member.name.rpartition("/")
            got.append((hashlib.sha256(tar.extractfile(member).read()).digest(), synset or None))
    want(sorted(got, key=str) == sorted(((r["sha256"], r["synset"]) for r in expected.values()), key=str), f"tar: {split} differs")
    return "tarfile"


def read_exports(root, split, expected, synsets, cache):
    return [
        read_folder(os.path.join(root, "folder"), split, expected, synsets),
        read_hf(os.path.join(root, "hf"), split, expected, synsets, cache),
        read_webdataset(os.path.join(root, "webdataset"), split, expected),
        read_tar(os.path.join(root, "tar"), split, expected),
    ]


def main():
    if len(sys.argv) not in (2, 3):
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
            read_duckdb(root, split, expected)
            read_datasets(root, split, expected, len(synsets), cache)
            print(f"{split}: {len(expected)} rows, equal in pyarrow, polars, duckdb and datasets")
            if len(sys.argv) == 3:
                read = read_exports(sys.argv[2], split, expected, synsets, cache)
                print(f"{split}: exports equal in {', '.join(read)}")


if __name__ == "__main__":
    main()
