#!/usr/bin/env python3
"""Writes model/testdata/state_dicts.json: torchvision's parameter names and shapes for each network of package model.

Names ending in num_batches_tracked are left out: the networks here do not count batches.
"""
import json
import pathlib

import torchvision

NETWORKS = {
    "alexnet": {},
    "densenet121": {},
    "googlenet": dict(aux_logits=True, init_weights=False),
    "inception_v3": dict(aux_logits=True, init_weights=False),
    "resnet50": {},
    "vgg16": dict(init_weights=False),
    "vgg16_bn": dict(init_weights=False),
}

root = pathlib.Path(__file__).resolve().parents[2]
golden = {}
for name, options in NETWORKS.items():
    net = getattr(torchvision.models, name)(weights=None, **options)
    golden[name] = {k: list(v.shape) for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
out = root / "model/testdata/state_dicts.json"
out.write_text(json.dumps({"torchvision": torchvision.__version__, "networks": golden}, separators=(",", ":")) + "\n")
print(out.relative_to(root), {k: len(v) for k, v in golden.items()})
