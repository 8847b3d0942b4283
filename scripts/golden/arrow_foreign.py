#!/usr/bin/env python3
"""Writes Arrow files and streams as other libraries make them, and what they hold.

    python scripts/golden/arrow_foreign.py internal/arrowipc/testdata

Needs pyarrow, polars and duckdb. Everything is written from the same few rows; expected.json has, for each file, the
batches' rows and the values of the columns that hold text, bytes (in hex) and integers.
"""
import json, os, sys

import duckdb
import polars as pl
import pyarrow as pa
from pyarrow import feather, ipc

ROWS = 5
TABLE = pa.table({
    "image": pa.array([{"bytes": b"\xff\xd8" + bytes(range(i * 9)), "path": f"n0/{'long ' * i}{i}.jpg"} for i in range(ROWS)],
                      pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    "label": pa.array([3, None, 0, 2, 1], pa.int64()),
    "synset": pa.array(["n01440764", None, "", "a name of more than twelve bytes", "mañana"], pa.string()),
    "ok": pa.array([True, False, None, True, True]),
    "scores": pa.array([[0.5, 0.25], [], None, [1.0], [2.0, 3.0, 4.0]], pa.list_(pa.float32())),
})
TABLE = TABLE.replace_schema_metadata({"huggingface": '{"info": {}}', "k": "v"})
expected = {}


def plain(v):
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()}
    if isinstance(v, list):
        return [plain(x) for x in v]
    return v.hex() if isinstance(v, bytes) else v


def note(out, name, table, batches, stream=False, ended=True, metadata=None):
    keep = {}
    for column in table.column_names:
        t = table.schema.field(column).type
        if pa.types.is_dictionary(t):
            t = t.value_type
        if pa.types.is_struct(t) or pa.types.is_integer(t) or any(k in str(t) for k in ("string", "binary")):
            keep[column] = plain(table.column(column).to_pylist())
    expected[name] = {"stream": stream, "ended": ended, "batches": batches, "columns": keep, "k": (metadata or {}).get("k", "")}


def pyarrow_files(out):
    def write(name, table, stream=False, rows=3, options=None, ended=True):
        path = os.path.join(out, name)
        with (ipc.new_stream if stream else ipc.new_file)(path, table.schema, options=options or ipc.IpcWriteOptions()) as w:
            w.write_table(table, max_chunksize=rows)
        sizes = [b.num_rows for b in table.to_batches(max_chunksize=rows)]
        note(out, name, table, sizes, stream, ended, {"k": "v"} if table.schema.metadata else None)

    option = ipc.IpcWriteOptions
    write("pyarrow.arrow", TABLE)
    write("pyarrow.arrows", TABLE, stream=True)
    write("pyarrow-lz4.arrow", TABLE, options=option(compression="lz4"))
    write("pyarrow-zstd.arrows", TABLE, stream=True, options=option(compression="zstd"))
    write("pyarrow-legacy.arrow", TABLE, options=option(use_legacy_format=True, metadata_version=ipc.MetadataVersion.V4))
    write("pyarrow-legacy.arrows", TABLE, stream=True, options=option(use_legacy_format=True, metadata_version=ipc.MetadataVersion.V4))
    write("pyarrow-norows.arrow", TABLE.slice(0, 0))
    write("pyarrow-norows.arrows", TABLE.slice(0, 0), stream=True)
    kinds = pa.table({
        "a": pa.array(["x", None, "y", "x", "y"]).dictionary_encode(),
        "b": pa.array([b"p", b"q", b"p", None, b"q"], pa.large_binary()).dictionary_encode(),
        "c": pa.array(["ab", None, "c" * 20, "", "d"], pa.large_string()),
        "d": pa.array(["ab", None, "c" * 20, "", "d"], pa.string_view()),
        "e": pa.array([b"ab", None, b"c" * 20, b"", b"d"], pa.binary_view()),
        "f": pa.array([b"1234", b"5678", None, b"9012", b"3456"], pa.binary(4)),
        "g": pa.array([1, -2, None, 3, 4], pa.int8()),
        "h": pa.array([1, 2, None, 3, 65535], pa.uint16()),
        "i": pa.array([1, -2, None, 3, 4], pa.int32()),
        "j": pa.array([1, 2, None, 3, 2**63 - 1], pa.uint64()),
        "k": pa.array([7, 7, None, 8, 8], pa.int16()).dictionary_encode(),
        "l": pa.nulls(5),
        "m": pa.array([[["x"], ["y", "z"]], None, [], [[]], [["w"]]], pa.list_(pa.large_list(pa.string()))),
        "n": pa.array([[1, 2], None, [3, 4], [5, 6], [7, 8]], pa.list_(pa.int32(), 2)),
        "o": pa.array([1, 2, 3, 4, 5], pa.timestamp("us", "UTC")),
    })
    write("pyarrow-kinds.arrow", kinds)
    write("pyarrow-kinds-zstd.arrow", kinds, options=option(compression="zstd"))
    union = pa.UnionArray.from_sparse(pa.array([0, 1, 0, 1, 0], pa.int8()), [pa.array([1, 2, 3, 4, 5]), pa.array(list("abcde"))])
    dense = pa.UnionArray.from_dense(pa.array([0, 1, 0, 1, 0], pa.int8()), pa.array([0, 0, 1, 1, 2], pa.int32()), [pa.array([1, 3, 5]), pa.array(["b", "d"])])
    odd = pa.table({
        "union": union, "dense": dense,
        "ends": pa.RunEndEncodedArray.from_arrays(pa.array([2, 5], pa.int32()), pa.array(["u", "v"])),
        "views": pa.array([[1], [], None, [2, 3], [4]], pa.list_view(pa.int32())),
        "map": pa.array([[("a", 1)], [], None, [("b", 2)], [("c", 3)]], pa.map_(pa.string(), pa.int32())),
        "label": pa.array([1, 2, 3, 4, 5]), "synset": pa.array(["v", "w", "x", "y", "z"]),
    })
    write("pyarrow-odd.arrow", odd, rows=5)
    expected["pyarrow-odd.arrow"]["columns"] = {"label": [1, 2, 3, 4, 5], "synset": ["v", "w", "x", "y", "z"]}
    for delta in (False, True):  # a dictionary that is replaced, and one that grows, between batches
        name = "pyarrow-delta.arrows" if delta else "pyarrow-replaced.arrows"
        words = [["x", "y"], ["x", "y", "z"]] if delta else [["x", "y"], ["p", "q", "r"]]
        batches = [pa.record_batch({"a": pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int32()), words[0])}),
                   pa.record_batch({"a": pa.DictionaryArray.from_arrays(pa.array([2, 1], pa.int32()), words[1])})]
        with ipc.new_stream(os.path.join(out, name), batches[0].schema, options=option(emit_dictionary_deltas=delta)) as w:
            for b in batches:
                w.write_batch(b)
        note(out, name, pa.table({"a": [v for b in batches for v in b.column(0).to_pylist()]}), [3, 2], True)
    with open(os.path.join(out, "pyarrow.arrows"), "rb") as f:  # without the mark at its end
        whole = f.read()
    with open(os.path.join(out, "pyarrow-unended.arrows"), "wb") as f:
        f.write(whole[:-8])
    note(out, "pyarrow-unended.arrows", TABLE, [3, 2], True, False, {"k": "v"})
    feather.write_feather(TABLE, os.path.join(out, "pyarrow-2.feather"))
    note(out, "pyarrow-2.feather", TABLE, [5], metadata={"k": "v"})
    feather.write_feather(TABLE.select(["label", "synset"]).replace_schema_metadata(None), os.path.join(out, "pyarrow-1.feather"), version=1)


def polars_files(out):
    frame = pl.DataFrame({
        "image": [b"\xff\xd8" + bytes(range(i * 9)) for i in range(ROWS)],
        "path": [f"n0/{'long ' * i}{i}.jpg" for i in range(ROWS)],
        "label": pl.Series([3, None, 0, 2, 1], dtype=pl.UInt8),
        "synset": pl.Series(["x", "y", None, "x", "z"], dtype=pl.Categorical),
        "enum": pl.Series(["x", "y", None, "x", "z"], dtype=pl.Enum(["z", "y", "x"])),
    })
    levels = {"newest": pl.CompatLevel.newest(), "oldest": pl.CompatLevel.oldest()}
    for level, compat in levels.items():
        for compression in ("uncompressed", "lz4", "zstd"):
            name = f"polars-{level}-{compression}.arrow"
            frame.write_ipc(os.path.join(out, name), compat_level=compat, compression=compression)
            note(out, name, frame.to_arrow(), [5])
        name = f"polars-{level}.arrows"
        frame.write_ipc_stream(os.path.join(out, name), compat_level=compat)
        note(out, name, frame.to_arrow(), [5], True)


def duckdb_files(out):
    con = duckdb.connect()
    con.register("rows", TABLE.select(["label", "synset", "image"]))
    reader = con.execute("SELECT label::INTEGER AS label, synset, image, label::UTINYINT AS tiny FROM rows").to_arrow_reader(2048)
    with ipc.new_stream(os.path.join(out, "duckdb.arrows"), reader.schema) as w:
        batches = list(reader)
        for b in batches:
            w.write_batch(b)
    note(out, "duckdb.arrows", pa.Table.from_batches(batches), [b.num_rows for b in batches], True)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    pyarrow_files(out)
    polars_files(out)
    duckdb_files(out)
    with open(os.path.join(out, "expected.json"), "w") as f:
        json.dump({"versions": {"pyarrow": pa.__version__, "polars": pl.__version__, "duckdb": duckdb.__version__}, "files": expected}, f, indent=1, ensure_ascii=False, sort_keys=True)
        f.write("\n")


if __name__ == "__main__":
    main()
