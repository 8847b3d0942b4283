#!/usr/bin/env python3
"""synshard's `infer` over a folder of JPEGs beside the programs that people put together for that, in turns.

    python scripts/bench/infer_peers.py SYNSHARD MODEL.onnx FOLDER --spec SPEC.json [--rounds 3] [--only spdl,daft]

MODEL.onnx is a classifier that takes normalised floats [N, 3, H, W] and any number of images; SPEC is what `synshard infer --spec` takes.
Every peer decodes by Pillow, resizes and crops as the Spec says, predicts by the same model in fp32 with one thread a run and a run a core
(batch 8, or what is said below), and leaves the five first classes of each image as an Arrow file. A turn is a process of each; the order is
turned round in every second one. Two rates: the whole process, and the loop, from the first image asked for to the end of writing,
without imports and the opening of the model (of synshard: without what a call over one image takes). Peers that are not installed
are named. What it was written for: onnxruntime 1.26, openvino 2026.4.1, torch 2.11, spdl-core 0.8, daft 0.7.26, ray 2.55.1. Prints one JSON object.
"""
import argparse, importlib.util, json, os, statistics, subprocess, sys, tempfile, time

NEEDS = {"onnxruntime": ["onnxruntime", "torch"], "openvino": ["openvino", "torch"], "spdl": ["spdl", "onnxruntime"], "daft": ["daft", "onnxruntime"], "ray": ["ray", "onnxruntime"]}
cores = len(os.sched_getaffinity(0))

p = argparse.ArgumentParser()
p.add_argument("synshard"), p.add_argument("model"), p.add_argument("folder")
p.add_argument("--spec", required=True)
p.add_argument("--rounds", type=int, default=3)
p.add_argument("--only", default="", help="peers, with commas between")
p.add_argument("--peer", help=argparse.SUPPRESS)  # be one, and write to --out
p.add_argument("--out", help=argparse.SUPPRESS)
a = p.parse_args()
spec = json.load(open(a.spec))


def paths():
    return sorted(os.path.join(d, f) for d, _, fs in os.walk(a.folder) for f in fs if f.lower().endswith((".jpg", ".jpeg")))


def prepare(path):
    """An image as the model takes it, float32 [3, size, size]."""
    import numpy as np
    from PIL import Image

    size, short = spec["input_size"], spec["resize"]
    with Image.open(path) as image:
        image = image.convert("RGB")
    w, h = image.size
    w, h = (short, int(short * h / w)) if w <= h else (int(short * w / h), short)
    image = image.resize((w, h), Image.BICUBIC if spec["interpolation"] == "bicubic" else Image.BILINEAR)
    x, y = round((w - size) / 2), round((h - size) / 2)
    pixels = np.asarray(image.crop((x, y, x + size, y + size)), np.float32) / 255
    return np.ascontiguousarray(((pixels - np.float32(spec["mean"])) / np.float32(spec["std"])).transpose(2, 0, 1))


def first_five(scores):
    import numpy as np

    return np.argsort(-scores, axis=1, kind="stable")[:, :5]


def session():
    import onnxruntime as ort

    o = ort.SessionOptions()
    o.intra_op_num_threads = 1
    s = ort.InferenceSession(a.model, o, providers=["CPUExecutionProvider"])
    name = s.get_inputs()[0].name
    return lambda batch: s.run(None, {name: batch})[0]


def images():
    """A DataLoader with a worker a core, batches of eight."""
    import torch

    class Images(torch.utils.data.Dataset):
        of = paths()
        __len__ = lambda self: len(self.of)
        __getitem__ = lambda self, i: torch.from_numpy(prepare(self.of[i]))

    torch.set_num_threads(1)
    return (x.numpy() for x in torch.utils.data.DataLoader(Images(), 8, num_workers=cores))


def by_onnxruntime():
    from concurrent.futures import ThreadPoolExecutor
    import torch  # opens before the clock is started

    run = session()

    def loop():
        with ThreadPoolExecutor(cores) as pool:
            waiting, done = [], []
            for batch in images():
                waiting.append(pool.submit(lambda b: first_five(run(b)), batch))
                while len(waiting) > 2 * cores:
                    done.extend(waiting.pop(0).result())
            for w in waiting:
                done.extend(w.result())
        return zip(paths(), done)

    return loop


def by_openvino():
    import openvino as ov
    import torch

    core = ov.Core()
    model = core.read_model(a.model)
    model.reshape([-1, 3, spec["input_size"], spec["input_size"]])
    queue = ov.AsyncInferQueue(core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"}), 0)

    def loop():
        done = {}
        queue.set_callback(lambda request, i: done.__setitem__(i, first_five(request.get_output_tensor(0).data)))
        for i, batch in enumerate(images()):
            queue.start_async({0: batch}, i)
        queue.wait_all()
        return zip(paths(), [five for i in sorted(done) for five in done[i]])

    return loop


def by_spdl():
    import numpy as np
    from spdl.pipeline import PipelineBuilder

    run = session()

    def loop():
        predict = lambda some: [(path, five) for (path, _), five in zip(some, first_five(run(np.stack([x for _, x in some]))))]
        line = PipelineBuilder().add_source(paths()).pipe(lambda path: (path, prepare(path)), concurrency=cores).aggregate(8)
        line = line.pipe(predict, concurrency=cores).add_sink(4).build(num_threads=2 * cores)
        with line.auto_stop():
            return [row for some in line.get_iterator() for row in some]

    return loop


def by_daft():
    import daft, numpy as np

    @daft.udf(return_dtype=daft.DataType.list(daft.DataType.int64()), batch_size=16, concurrency=cores)
    class Predict:
        def __init__(self):
            self.run = session()

        def __call__(self, path):
            return list(first_five(self.run(np.stack([prepare(x) for x in path.to_pylist()]))))

    def loop():
        got = daft.from_pydict({"path": paths()}).with_column("five", Predict(daft.col("path"))).to_pydict()
        return zip(got["path"], got["five"])

    return loop


def by_ray():
    import logging, numpy as np, ray

    ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False

    class Predict:
        def __init__(self):
            self.run = session()

        def __call__(self, batch):
            batch["five"] = first_five(self.run(np.stack([prepare(x) for x in batch["path"]])))
            return batch

    def loop():
        rows = ray.data.from_items([{"path": x} for x in paths()], override_num_blocks=4 * cores)
        rows = rows.map_batches(Predict, batch_size=32, concurrency=cores, num_cpus=1).take_all()
        return [(r["path"], r["five"]) for r in rows]

    return loop


def be(peer):
    """Runs as a peer, and prints how long its loop took."""
    import pyarrow as pa

    loop = globals()["by_" + peer]()
    began = time.perf_counter()
    path, five = zip(*loop())
    table = pa.table({"path": list(path), "pred_label": [list(map(int, x)) for x in five]})
    with pa.ipc.new_file(a.out, table.schema) as f:
        f.write(table)
    print(json.dumps({"loop": time.perf_counter() - began}))


def timed(*command):
    began = time.perf_counter()
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return time.perf_counter() - began, text


def first_classes(path):
    """The first class of each image, by its name."""
    import pyarrow as pa

    with pa.ipc.open_file(path) as f:
        t = f.read_all()
    return {os.path.basename(x): y[0] for x, y in zip(t["path"].to_pylist(), t["pred_label"].to_pylist())}


def turn(who, out):
    """Seconds of the whole process, and of its loop."""
    if who != "synshard":
        whole, text = timed(sys.executable, os.path.abspath(__file__), a.synshard, a.model, a.folder, "--spec", a.spec, "--peer", who, "--out", out)
        return whole, json.loads(text.strip().splitlines()[-1])["loop"]
    infer = [a.synshard, "infer", a.model, "--spec", a.spec, "--engine", "onnx", "--progress", "off", "--overwrite", "--out", out]
    start, _ = timed(*infer, paths()[0])
    whole, _ = timed(*infer, a.folder)
    return whole, whole - start


def main():
    peers = [x for x in NEEDS if not a.only or x in a.only.split(",")]
    missing = [x for x in peers if any(importlib.util.find_spec(n) is None for n in NEEDS[x])]
    who, n = ["synshard"] + [x for x in peers if x not in missing], len(paths())
    rates, classes = {x: {"whole": [], "loop": []} for x in who}, {}
    with tempfile.TemporaryDirectory() as work:
        for round in range(a.rounds):
            for x in who if round % 2 == 0 else who[::-1]:
                out = os.path.join(work, x + ".arrow")
                whole, loop = turn(x, out)
                rates[x]["whole"].append(n / whole), rates[x]["loop"].append(n / loop)
                classes[x] = first_classes(out)
                print(f"{x}: {n / whole:.1f} images/s, loop {n / loop:.1f}", file=sys.stderr)
    mid = {x: {k: statistics.median(v) for k, v in r.items()} for x, r in rates.items()}
    ours = mid["synshard"]
    print(json.dumps({
        "images": n, "cores": cores, "missing": missing, "rates": rates, "median": mid,
        "synshard_faster_by": {x: {k: ours[k] / m[k] for k in m} for x, m in mid.items() if x != "synshard"},
        "other_first_classes": {x: sum(c[i] != classes["synshard"][i] for i in c) for x, c in classes.items()},
    }, indent=1))


if __name__ == "__main__":
    be(a.peer) if a.peer else main()
