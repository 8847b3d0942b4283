#!/usr/bin/env python3
"""Sums of what Pillow and torchvision make of images that a formula gives, for pixel's TestResizeSums.

    python scripts/golden/pixel_resize.py pixel/testdata/resize/sums.json

An image of w x h pixels has (x*x*7 + y*y*13 + x*y*5 + c*71 + (x ^ y)*3) % 251 in channel c at (x, y). "eval" cases are
Resize and CenterCrop; "crop" cases a box cut out (left, top, width, height) and resized, which is what RandomResizedCrop
does with the box that it draws. A sum is the first half of the SHA-256 of the pixels, row by row."""
import hashlib, json, sys

import PIL
import torchvision
from PIL import Image
from torchvision.transforms import InterpolationMode as IM
from torchvision.transforms.v2 import functional as F
import numpy as np

MODES = {"bilinear": IM.BILINEAR, "bicubic": IM.BICUBIC}


def image(w, h):
    y, x = np.mgrid[0:h, 0:w].astype(np.int64)
    return Image.fromarray(np.stack([(x * x * 7 + y * y * 13 + x * y * 5 + c * 71 + (x ^ y) * 3) % 251 for c in range(3)], -1).astype(np.uint8))


def sum_of(im):
    return hashlib.sha256(np.asarray(im).tobytes()).hexdigest()[:32]


sizes = [(1, 1), (1, 2), (2, 1), (3, 3), (1, 40), (40, 1), (5, 300), (300, 5), (17, 23), (37, 8000), (8000, 37), (600, 8000), (8000, 600), (61, 130), (130, 61),
         (100, 219), (100, 220), (224, 224), (256, 256), (299, 342), (342, 342), (375, 500), (500, 333), (500, 375), (640, 480), (1200, 1600), (2048, 1365)]
cases = []
for w, h in sizes:
    im = image(w, h)
    for resize, size in [(1, 1), (36, 30), (256, 224), (342, 299)]:
        for name, mode in MODES.items():
            for square in (False, True):
                if not square and max(w, h) / min(w, h) * resize > 20000:
                    continue  # Pillow makes all of it: gigabytes
                out = F.center_crop(F.resize(im, [resize, resize] if square else [resize], mode), [size, size])
                cases.append(dict(kind="eval", w=w, h=h, resize=resize, size=size, interpolation=name, square=square, sum=sum_of(out)))
rng = np.random.default_rng(3)
for w, h in sizes:
    im = image(w, h)
    for i in range(4):
        cw, ch = int(rng.integers(1, w + 1)), int(rng.integers(1, h + 1))
        x, y = int(rng.integers(0, w - cw + 1)), int(rng.integers(0, h - ch + 1))
        size = [30, 64, 224, 299][i]
        for name, mode in MODES.items():
            out = F.resized_crop(im, y, x, ch, cw, [size, size], mode)
            cases.append(dict(kind="crop", w=w, h=h, box=[x, y, cw, ch], size=size, interpolation=name, sum=sum_of(out)))
with open(sys.argv[1], "w") as f:
    f.write('{"made_with": "Pillow %s, torchvision %s", "cases": [\n' % (PIL.__version__, torchvision.__version__))
    f.write(",\n".join(json.dumps(c) for c in cases) + "\n]}\n")
print(len(cases), "cases")
