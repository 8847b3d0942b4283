#!/usr/bin/env python3
"""The peer of `synshard infer`: Python's ONNX Runtime fed by torchvision's transforms in
a multiprocess DataLoader, JPEG files to a Parquet file of predictions.

    python scripts/bench/infer_python.py MODEL.onnx FOLDER OUT.parquet [--batch 8] [--workers 2] [--threads 2] [--runs 1]

Prints one JSON line with the seconds from the start of the first batch to the end of the
writing, with what opening took beside it. The model takes uint8 NHWC, as synshard exports it.
"""
import argparse, json, os, time
from concurrent.futures import ThreadPoolExecutor

import numpy as np, onnxruntime as ort, pyarrow as pa, pyarrow.parquet as pq, torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

p = argparse.ArgumentParser()
p.add_argument("model"), p.add_argument("folder"), p.add_argument("out")
p.add_argument("--batch", type=int, default=8)
p.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
p.add_argument("--runs", type=int, default=1, help="runs at a time, each with threads/runs threads")
a = p.parse_args()

began = time.perf_counter()
so = ort.SessionOptions()
so.intra_op_num_threads = max(1, a.threads // a.runs)
session = ort.InferenceSession(a.model, so, providers=["CPUExecutionProvider"])
spec = json.loads(session.get_modelmeta().custom_metadata_map["synshard.spec"])
how = InterpolationMode.BICUBIC if spec["interpolation"] == "bicubic" else InterpolationMode.BILINEAR
resize, crop = Resize(spec["resize"], how), CenterCrop(spec["input_size"])
paths = sorted(os.path.join(d, f) for d, _, fs in os.walk(a.folder) for f in fs if f.lower().endswith((".jpg", ".jpeg", ".png")))


class Images(Dataset):
    def __len__(self):
        return len(paths)

    def __getitem__(self, i):
        return torch.from_numpy(np.array(crop(resize(Image.open(paths[i]).convert("RGB")))))


torch.set_num_threads(1)
load = DataLoader(Images(), batch_size=a.batch, num_workers=a.workers, prefetch_factor=2)
first = time.perf_counter()
name = session.get_inputs()[0].name


def predict(batch):
    probs = session.run(["probabilities"], {name: batch})[0]
    top = np.argsort(-probs, axis=1, kind="stable")[:, :5]
    return top, np.take_along_axis(probs, top, 1)


with ThreadPoolExecutor(a.runs) as pool:
    waiting, done = [], []
    for batch in load:
        waiting.append(pool.submit(predict, batch.numpy()))
        while len(waiting) > a.runs:
            done.append(waiting.pop(0).result())
    done += [w.result() for w in waiting]
top, prob = (np.concatenate(x) for x in zip(*done))
k = top.shape[1]
table = pa.table({
    "path": [os.path.basename(x) for x in paths],
    "pred_label": pa.FixedSizeListArray.from_arrays(top.astype(np.int64).ravel(), k),
    "pred_prob": pa.FixedSizeListArray.from_arrays(prob.ravel(), k),
})
pq.write_table(table, a.out)
end = time.perf_counter()
print(json.dumps({"images": len(paths), "seconds": end - first, "open_seconds": first - began, "images_per_second": len(paths) / (end - first)}))
