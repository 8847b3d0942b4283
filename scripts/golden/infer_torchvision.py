#!/usr/bin/env python3
"""Holds what `synshard infer` wrote to torchvision's transforms and Python's ONNX Runtime,
image by image.

    synshard export DATASET --to folder --out FOLDER --split val
    synshard infer MODEL.onnx FOLDER --probabilities all --out PREDICTIONS.arrow
    python scripts/golden/infer_torchvision.py MODEL.onnx PREDICTIONS.arrow [--allow 1e-3]

Fails if a probability differs by more than --allow, if the first class differs on more than
0.5 % of the images, or where it differs without a near tie. Reads the paths of the output.
"""
import argparse, json, sys
import numpy as np, onnxruntime as ort, pyarrow as pa
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

p = argparse.ArgumentParser()
p.add_argument("model"), p.add_argument("predictions")
p.add_argument("--allow", type=float, default=1e-3)
a = p.parse_args()
s = ort.InferenceSession(a.model, providers=["CPUExecutionProvider"])
spec = json.loads(s.get_modelmeta().custom_metadata_map["synshard.spec"])
how = InterpolationMode.BICUBIC if spec["interpolation"] == "bicubic" else InterpolationMode.BILINEAR
resize, crop = Resize(spec["resize"], how), CenterCrop(spec["input_size"])
t = pa.ipc.open_file(a.predictions).read_all()
paths, ours = t["path"].to_pylist(), np.array(t["probabilities"].to_pylist(), dtype=np.float64)
theirs = []
for i in range(0, len(paths), 8):
    x = np.stack([np.asarray(crop(resize(Image.open(f).convert("RGB")))) for f in paths[i:i + 8]])
    theirs.append(s.run(["probabilities"], {s.get_inputs()[0].name: x})[0])
theirs = np.concatenate(theirs).astype(np.float64)
d = np.abs(ours - theirs).max(1)
differ = np.flatnonzero(ours.argmax(1) != theirs.argmax(1))
ties = [float(np.diff(np.sort(theirs[i])[-2:])[0]) for i in differ]
print(json.dumps({"images": len(paths), "greatest_difference": d.max(), "median_difference": float(np.median(d)),
                  "over": int((d > a.allow).sum()), "first_class_differs": len(differ), "their_leads_there": ties}))
if d.max() > a.allow or len(differ) > 0.005 * len(paths) or any(x > 2 * a.allow for x in ties):
    sys.exit("they differ")
