#!/usr/bin/env python3
"""Golden data for losses weighted by class, by PyTorch.

Writes train/torch/testdata/golden_weighted_loss.json: logits, labels (-1: no part), weights, label smoothing, and what
torch.nn.CrossEntropyLoss gives for them in float64.

Needs torch.
"""
import json
import pathlib

import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    g = torch.Generator().manual_seed(1)
    cases = []
    for smoothing in (0.0, 0.1):
        for labels in ([0, 3, 3, 1, 2], [4, -1, 0, -1, 0]):
            logits = (3 * torch.randn(5, 5, generator=g)).double()
            weights = (0.1 + 5 * torch.rand(5, generator=g)).double()
            loss = torch.nn.CrossEntropyLoss(weight=weights, ignore_index=-1, label_smoothing=smoothing)(logits, torch.tensor(labels))
            cases.append({"logits": logits.tolist(), "labels": labels, "weights": weights.tolist(), "smoothing": smoothing, "loss": loss.item()})
    (ROOT / "train/torch/testdata/golden_weighted_loss.json").write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
