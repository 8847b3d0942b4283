#!/usr/bin/env python3
"""What PIL and torchvision make of a folder's JPEGs for evaluation, for pixel's TestEvalLikeTorchvision.

    python scripts/golden/pixel_torchvision.py FOLDER OUT RESIZE SIZE INTERPOLATION

Writes OUT/names.txt and OUT/sums.txt, a SHA-256 of the SIZE x SIZE x 3 bytes a name: decoded by PIL (libjpeg-turbo), the
shorter side brought to RESIZE by an antialiased resize, the middle cut out."""
import glob, hashlib, os, sys

import numpy as np
from PIL import Image
from torchvision import transforms as T

folder, out, resize, size, interpolation = sys.argv[1:]
path = T.Compose([T.Resize(int(resize), T.InterpolationMode(interpolation)), T.CenterCrop(int(size))])
names = sorted(f for f in glob.glob(os.path.join(folder, "**", "*"), recursive=True) if f.lower().endswith((".jpg", ".jpeg")))
with open(os.path.join(out, "names.txt"), "w") as n, open(os.path.join(out, "sums.txt"), "w") as s:
    for name in names:
        s.write(hashlib.sha256(np.asarray(path(Image.open(name).convert("RGB"))).tobytes()).hexdigest() + "\n")
        n.write(name + "\n")
