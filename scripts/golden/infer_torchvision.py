#!/usr/bin/env python3
"""Holds `synshard infer` to Pillow, torchvision's transforms and Python's ONNX Runtime, image by image.

    python scripts/golden/infer_torchvision.py MODEL.onnx FOLDER [--allow 1e-5] [--synshard BINARY] [-- FLAGS OF INFER]
    python scripts/golden/infer_torchvision.py lite0.onnx photos -- --classes imagenet-1k --resize 256 --mean 0.498 --std 0.502

Runs both over the folder's JPEGs. How images are made ready is said by the model's metadata, or by infer's own flags --resize,
--input-size, --interpolation, --mean and --std behind the --. Both run the network on batches of one size, since ONNX
Runtime's sums depend on it. Fails where a probability differs by more than --allow or a first class differs."""
import argparse, glob, json, os, subprocess, sys, tempfile

import numpy as np, onnxruntime as ort, pyarrow as pa
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

BATCH = 8
argv, flags = sys.argv[1:], []
if "--" in argv:
    argv, flags = argv[: argv.index("--")], argv[argv.index("--") + 1 :]
p = argparse.ArgumentParser()
p.add_argument("model"), p.add_argument("folder")
p.add_argument("--allow", type=float, default=1e-5)
p.add_argument("--synshard", default="bin/synshard")
a = p.parse_args(argv)

how = argparse.ArgumentParser()
for name, default in [("resize", None), ("input-size", None), ("interpolation", None), ("mean", None), ("std", None)]:
    how.add_argument("--" + name, default=default)
said, _ = how.parse_known_args(flags)
options = ort.SessionOptions()
options.intra_op_num_threads = 1  # as infer runs it: sums depend on how work is shared out, too
session = ort.InferenceSession(a.model, options, providers=["CPUExecutionProvider"])
spec = json.loads(session.get_modelmeta().custom_metadata_map.get("synshard.spec", "{}"))
given = session.get_inputs()[0]
size = int(said.input_size or spec.get("input_size") or given.shape[-1])
resize = int(said.resize or spec.get("resize") or size)
mode = InterpolationMode(said.interpolation or spec.get("interpolation") or "bilinear")
mean, std = ([float(x) for x in v.split(",")] if v else None for v in (said.mean, said.std))
transforms = Resize(resize, mode), CenterCrop(size)


def pixels(path):
    im = Image.open(path).convert("RGB")
    for t in transforms:
        im = t(im)
    x = np.asarray(im)
    if given.type == "tensor(uint8)":
        return x
    x = (x.astype(np.float32) / 255 - np.array(mean or [0], np.float32)) / np.array(std or [1], np.float32)
    return x.transpose(2, 0, 1).astype(np.float32)


def probabilities(x):
    names = [o.name for o in session.get_outputs()]
    name = next((n for n in ("probabilities", "logits") if n in names), names[0])
    y = session.run([name], {given.name: x})[0].astype(np.float64)
    if name == "probabilities" or (y.min() >= 0 and abs(y.sum(1) - 1).max() < 1e-3):
        return y
    y = np.exp(y - y.max(1, keepdims=True))
    return y / y.sum(1, keepdims=True)


paths = sorted(f for f in glob.glob(os.path.join(a.folder, "**", "*"), recursive=True) if f.lower().endswith((".jpg", ".jpeg")))
if not paths:
    sys.exit(f"{a.folder} has no JPEG")
with tempfile.TemporaryDirectory() as tmp:
    out = os.path.join(tmp, "ours.arrow")
    subprocess.run([a.synshard, "infer", a.model, "-", "--batch", str(BATCH), "--probabilities", "all", "--out", out, "--progress", "off", *flags],
                   input="\n".join(paths), text=True, check=True)
    t = pa.ipc.open_file(out).read_all()
ours = np.array(t["probabilities"].to_pylist(), dtype=np.float64)
theirs = np.concatenate([probabilities(np.stack([pixels(f) for f in paths[i : i + BATCH]])) for i in range(0, len(paths), BATCH)])
d = np.abs(ours - theirs).max(1)
differ = np.flatnonzero(ours.argmax(1) != theirs.argmax(1))
print(json.dumps({"images": len(paths), "greatest_difference": d.max(), "median_difference": float(np.median(d)),
                  "over": int((d > a.allow).sum()), "first_class_differs": len(differ)}))
if d.max() > a.allow or len(differ):
    sys.exit("they differ")
