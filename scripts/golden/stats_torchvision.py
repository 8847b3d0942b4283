#!/usr/bin/env python3
"""Golden statistics of images, by torchvision over Pillow, with NumPy.

    python scripts/golden/stats_torchvision.py shard/stats/testdata/torchvision.json IMAGE...

What ToTensor makes of each image after convert("RGB"), of all pixels and of what Resize(256) and
CenterCrop(224) leave: the mean and the population's standard deviation of each channel over all pixels, and the mean of
the images' own deviations. With the sizes, aspect ratios and bytes, whose quantiles NumPy takes by the nearest rank
("inverted_cdf"). The images are pixel/testdata's; names of those used are kept. Needs torchvision and Pillow.
"""
import json, os, sys
import numpy as np
from PIL import Image
from torchvision import transforms as T

out = {"images": [os.path.basename(f) for f in sys.argv[2:]]}


def pixels(change):
    all, own = [], []
    for f in sys.argv[2:]:
        x = T.ToTensor()(change(Image.open(f).convert("RGB"))).numpy().astype(np.float64).reshape(3, -1)
        all.append(x)
        own.append(x.std(1))
    all = np.concatenate(all, 1)
    return {"pixels": all.shape[1], "mean": all.mean(1).tolist(), "std": all.std(1).tolist(), "image_std": np.mean(own, 0).tolist()}


def spread(values):
    q = np.quantile(np.array(values, float), [0, .05, .25, .5, .75, .95, 1], method="inverted_cdf").tolist()
    return dict(zip(["min", "p5", "p25", "median", "p75", "p95", "max"], q), mean=float(np.mean(values)))


sizes = [Image.open(f).size for f in sys.argv[2:]]
out["raw"] = pixels(lambda im: im)
out["eval"] = pixels(lambda im: T.CenterCrop(224)(T.Resize(256)(im)))
out["width"], out["height"] = spread([w for w, h in sizes]), spread([h for w, h in sizes])
out["aspect"], out["bytes"] = spread([w / h for w, h in sizes]), spread([os.path.getsize(f) for f in sys.argv[2:]])
json.dump(out, open(sys.argv[1], "w"), indent=1)
