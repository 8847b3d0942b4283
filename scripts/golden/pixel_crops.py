#!/usr/bin/env python3
"""Quantiles of the crops that torchvision's RandomResizedCrop draws, for package pixel's test of its own.

    python scripts/golden/pixel_crops.py pixel/testdata/crops.json

For two images, area 0.08 to 1 and aspect 3/4 to 4/3: the 19 quantiles from 5 % to 95 % of width, height, left and top
over 200,000 draws."""
import json, sys

import numpy as np
import torch
import torchvision
from torchvision.transforms import RandomResizedCrop

torch.manual_seed(5)
draws, cases = 200_000, []
for w, h in ((500, 375), (300, 640)):
    image = torch.empty(3, h, w)
    got = np.array([RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(draws)])  # top, left, height, width
    at = np.arange(0.05, 0.96, 0.05)
    cases.append({"w": w, "h": h, **{n: np.quantile(got[:, i], at).round(2).tolist() for i, n in enumerate(("top", "left", "height", "width"))}})
json.dump({"made_with": f"torchvision {torchvision.__version__}", "draws": draws, "cases": cases}, open(sys.argv[1], "w"), indent=1)
