"""Sources as their own libraries write them, for ingest's tests.

    python scripts/golden/ingest_sources.py ingest/testdata

writes hf.parquet (datasets, with Image and ClassLabel), plain.parquet (pyarrow:
large_binary, int32 labels, no metadata) and web.tar (webdataset's ShardWriter).
"""

import io
import pathlib
import sys

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def image(k):
    out = io.BytesIO()
    Image.new("RGB", (8, 6), (40 * k, 90, 200)).save(out, "JPEG")
    return out.getvalue()


def main(root):
    names, labels = ["n02391049", "n01443537"], [0, 1, 1, 0]
    images = [{"bytes": image(k), "path": f"p{k}.JPEG"} for k in range(len(labels))]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    datasets.Dataset.from_dict({"image": images, "label": labels}, features=features).to_parquet(root / "hf.parquet")
    kind = pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())])
    table = pa.table({"image": pa.array(images, kind), "label": pa.array(labels, pa.int32())})
    pq.write_table(table, root / "plain.parquet", row_group_size=2, compression="zstd")
    try:
        import webdataset
    except ImportError:
        sys.exit("ingest_sources.py: webdataset is not installed: web.tar was not written")
    with webdataset.TarWriter(str(root / "web.tar")) as w:
        for k, label in enumerate(labels):
            w.write({"__key__": f"p{k}", "jpg": images[k]["bytes"], "cls": label, "json": {"label": label}})


main(pathlib.Path(sys.argv[1]))
