#!/usr/bin/env python3
"""What PIL and torchvision make of a folder's JPEGs for evaluation, for pixel's TestEvalLikeTorchvision.

    python scripts/golden/pixel_torchvision.py FOLDER OUT

Writes OUT/names.txt and OUT/pixels.rgb, an image of 299 x 299 x 3 bytes a name: decoded by PIL (libjpeg-turbo), the
shorter side brought to 342 by an antialiased bilinear resize, the middle cut out."""
import glob, os, sys

import numpy as np
from PIL import Image
from torchvision import transforms as T

folder, out = sys.argv[1], sys.argv[2]
path = T.Compose([T.Resize(342), T.CenterCrop(299)])
names = sorted(f for f in glob.glob(os.path.join(folder, "**", "*"), recursive=True) if f.lower().endswith((".jpg", ".jpeg")))
with open(os.path.join(out, "names.txt"), "w") as n, open(os.path.join(out, "pixels.rgb"), "wb") as p:
    for name in names:
        p.write(np.asarray(path(Image.open(name).convert("RGB"))).tobytes())
        n.write(name + "\n")
