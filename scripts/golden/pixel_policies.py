#!/usr/bin/env python3
"""Golden data for the policies of distortions, by torchvision over PIL images.

Writes pixel/testdata/policies.json:

  magnitudes  policy -> operation -> all its magnitudes, for images of 224 and 299 pixels
  sums        kind of image -> size -> "operation magnitude" -> the first 12 digits of the SHA-256 of its pixels
  erased      of 20,000 of RandomErasing's draws with p 0.25 on 64 pixels: how many erase, and mean and deviation of the
              area, log of height by width, and places from 0 to 1

Needs torch, torchvision and Pillow. Images are made by a formula that pixel/policy_test.go has too.
"""
import hashlib
import json
import pathlib

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision.transforms import InterpolationMode, RandAugment, RandomErasing, TrivialAugmentWide
from torchvision.transforms.autoaugment import _apply_op

ROOT = pathlib.Path(__file__).resolve().parents[2]


def image(kind, n):
    y, x, c = np.meshgrid(np.arange(n), np.arange(n), np.arange(3), indexing="ij")
    rough = (x * x * 3 + y * 7 * (c + 1) + x * y * 5) % 256
    if kind == "narrow":
        rough = 90 + rough // 4 + 7 * c
    if kind == "flat":
        rough = 40 * c + 20 + 0 * x
    if kind == "two":
        rough = np.where((x + y) % 3 == 0, 200 - 50 * c, 13)
    return Image.fromarray(rough.astype(np.uint8))


def values(policy, size):
    if policy is RandAugment:
        space = RandAugment()._augmentation_space(31, (size, size))
    else:
        space = TrivialAugmentWide()._augmentation_space(31)
    return {name: [float(v) for v in m.tolist()] if m.ndim else [0.0] for name, (m, _) in space.items()}


def sums(kind, n):
    out = {}
    for policy in (RandAugment, TrivialAugmentWide):
        for name, magnitudes in values(policy, n).items():
            signed = policy()._augmentation_space(31, (n, n))[name][1] if policy is RandAugment else policy()._augmentation_space(31)[name][1]
            for m in magnitudes[::5]:
                for v in {m, -m} if signed else {m}:
                    img = _apply_op(image(kind, n), name, v, InterpolationMode.NEAREST, None)
                    out[f"{name} {v!r}"] = hashlib.sha256(np.asarray(img).tobytes()).hexdigest()[:12]
    return out


def erased(trials=20000, size=64):
    torch.manual_seed(1)
    e, blank = RandomErasing(p=0.25), torch.ones(3, size, size)
    rows = []
    for _ in range(trials):
        out = e(blank)[0]
        if out.min() == 0:
            ys, xs = torch.where(out == 0)
            h, w = ys.max() - ys.min() + 1, xs.max() - xs.min() + 1
            rows.append([h * w / size**2, np.log(h / w), ys.min() / (size - h + 1), xs.min() / (size - w + 1)])
    a = np.array(rows, dtype=float)
    return {"share": len(rows) / trials, "mean": a.mean(0).tolist(), "deviation": a.std(0).tolist()}


def main():
    golden = {
        "versions": [torchvision.__version__, PIL.__version__],
        "magnitudes": {f"{name} {size}": values(policy, size) for name, policy in (("randaugment", RandAugment), ("trivialaugment_wide", TrivialAugmentWide)) for size in (224, 299)},
        "sums": {kind: {str(n): sums(kind, n) for n in (32, 45)} for kind in ("rough", "narrow", "flat", "two")},
        "erased": erased(),
    }
    (ROOT / "pixel/testdata/policies.json").write_text(json.dumps(golden, indent=0) + "\n")


if __name__ == "__main__":
    main()
