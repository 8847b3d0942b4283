#!/usr/bin/env python3
"""Golden data for mixed images, by torchvision's MixUp and CutMix and PyTorch's CrossEntropyLoss.

Writes train/testdata/golden_mix.json: how many of 20,000 images kept which tenth of themselves as their share, for images
of so many pixels; and train/torch/testdata/golden_mixed_loss.json: logits, the two labels of each image of a batch that
torchvision mixed and the share of the first, label smoothing, and the loss of torchvision's soft labels in float64.

Needs torch and torchvision.
"""
import json
import pathlib

import torch
from torchvision.transforms import v2

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIZE, ALPHA = 32, {"mixup": 0.2, "cutmix": 1.0}
KINDS = {"mixup": v2.MixUp, "cutmix": v2.CutMix}


def shares(name):
    mixer = KINDS[name](num_classes=2, alpha=ALPHA[name])
    images, labels, bins = torch.zeros(2, 3, SIZE, SIZE), torch.tensor([0, 1]), [0] * 10
    for _ in range(20000):
        _, soft = mixer(images, labels)
        bins[min(int(soft[0, 0].item() * 10), 9)] += 1
    return bins


def losses():
    cases = []
    for name in KINDS:
        for smoothing in (0.0, 0.1):
            labels = torch.tensor([0, 3, 3, 1, 2])
            soft = torch.zeros(0)
            while not soft.numel() or soft[0].max() > 0.95:  # some of both
                _, soft = KINDS[name](num_classes=5, alpha=ALPHA[name])(torch.zeros(5, 3, SIZE, SIZE), labels)
            share = soft[0, 0].item()  # image 0 is mixed with another class
            logits = (3 * torch.randn(5, 5)).double()
            loss = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, soft.double())
            cases.append({"logits": logits.tolist(), "labels": labels.tolist(), "others": labels.roll(1).tolist(), "share": share,
                          "smoothing": smoothing, "loss": loss.item()})
    return cases


def main():
    torch.manual_seed(1)
    golden = {"size": SIZE, "alpha": ALPHA, "shares": {name: shares(name) for name in KINDS}}
    (ROOT / "train/testdata/golden_mix.json").write_text(json.dumps(golden) + "\n")
    (ROOT / "train/torch/testdata/golden_mixed_loss.json").write_text(json.dumps(losses()) + "\n")


if __name__ == "__main__":
    main()
