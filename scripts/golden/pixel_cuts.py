#!/usr/bin/env python3
"""Writes tall JPEGs of several kinds, and which of them Pillow still opens when they are cut short or more follows.

    python scripts/golden/pixel_cuts.py pixel/testdata/cuts

Needs pillow and numpy.
"""
import io, json, os, sys
import numpy as np
from PIL import Image

KINDS = {
    "baseline": dict(quality=85), "progressive": dict(quality=85, progressive=True), "restart": dict(quality=85, restart_marker_rows=1),
    "full": dict(quality=95, subsampling=0, optimize=True), "thumbnail": dict(quality=85),
}


def opens(b):
    try:
        Image.open(io.BytesIO(b)).load()
        return True
    except OSError:
        return False


out = sys.argv[1]
os.makedirs(out, exist_ok=True)
rng = np.random.default_rng(3)
y, x = np.mgrid[0:240, 0:80].astype(float)
image = Image.fromarray(np.stack([128 + 60 * np.sin(x / 9 + c) * np.cos(y / 13 + 2 * c) + rng.normal(0, 12, x.shape) for c in range(3)], 2).clip(0, 255).astype(np.uint8))
small = io.BytesIO()
image.resize((20, 60)).save(small, "JPEG")
answers = {}
for name, how in KINDS.items():
    f = io.BytesIO()
    if name == "thumbnail":  # a JPEG with an end of its own before the image
        how = dict(how, exif=b"Exif\0\0" + small.getvalue())
    image.save(f, "JPEG", **how)
    b = f.getvalue()
    with open(os.path.join(out, name + ".jpg"), "wb") as to:
        to.write(b)
    n = len(b)
    cuts = [0, 1, 2, 3, 4, 6, 10, 30, n // 100, n // 20, n // 10, 3 * n // 10]
    answers[name] = {"cuts": [{"bytes": c, "opens": opens(b[: n - c])} for c in cuts], "followed": opens(b + b"more" * 1000)}
with open(os.path.join(out, "pillow.json"), "w") as to:
    json.dump(answers, to, indent=1)
    to.write("\n")
