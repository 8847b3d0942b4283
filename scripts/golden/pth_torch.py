#!/usr/bin/env python3
"""Writes model/weights/pth/testdata: small state dicts by torch.save, in its zip format, in the one before PyTorch 1.6, and wrapped
as training scripts wrap them; and values.json with what is in them."""
import collections
import json
import pathlib

import torch

out = pathlib.Path(__file__).resolve().parents[2] / "model/weights/pth/testdata"
out.mkdir(parents=True, exist_ok=True)
shared = torch.arange(24, dtype=torch.float32)
state = collections.OrderedDict([
    ("conv.weight", (torch.arange(24, dtype=torch.float32) / 7).reshape(2, 3, 2, 2).contiguous(memory_format=torch.channels_last)),
    ("conv.bias", torch.tensor([1.5, -2.5])),
    ("view", shared[4:10].reshape(2, 3)),
    ("transposed", shared.reshape(4, 6).t()),
    ("half", torch.tensor([0.5, 65504.0, -1e-7], dtype=torch.float16)),
    ("brain", torch.tensor([0.5, 3.0], dtype=torch.bfloat16)),
    ("double", torch.tensor([1e-3], dtype=torch.float64)),
    ("num_batches_tracked", torch.tensor(7)),
])
torch.save(state, out / "zip.pth")
torch.save(state, out / "legacy.pth", _use_new_zipfile_serialization=False)
torch.save({"epoch": 3, "lr": 0.1, "state_dict": {"module." + k: torch.nn.Parameter(v) if v.is_floating_point() else v for k, v in state.items()}}, out / "wrapped.pth")
torch.save([1, 2, 3], out / "list.pth")
(out / "values.json").write_text(json.dumps({k: {"shape": list(v.shape), "values": v.double().flatten().tolist()} for k, v in state.items()}) + "\n")
