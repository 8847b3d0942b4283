#!/usr/bin/env python3
"""Golden data for layer-wise decay of the learning rate, by timm.

Writes train/testdata/golden_layer_decay.json: for networks of which timm and torchvision name tensors alike, what
timm.optim.param_groups_layer_decay multiplies the rate of each parameter by.

Needs timm.
"""
import json
import pathlib

import timm
from timm.optim import param_groups_layer_decay

ROOT = pathlib.Path(__file__).resolve().parents[2]
DECAY = 0.75


def scales(name, **options):
    model = timm.create_model(name, **options)
    names = {id(p): n for n, p in model.named_parameters()}
    return {names[id(p)]: group["lr_scale"] for group in param_groups_layer_decay(model, layer_decay=DECAY) for p in group["params"]}


def main():
    golden = {
        "timm": timm.__version__,
        "decay": DECAY,
        "scales": {"inception_v3": scales("inception_v3", aux_logits=False), "resnet50": scales("resnet50")},
    }
    (ROOT / "train/testdata/golden_layer_decay.json").write_text(json.dumps(golden, indent=0) + "\n")


if __name__ == "__main__":
    main()
