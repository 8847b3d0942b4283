#!/usr/bin/env python3
"""Measures `synshard infer` end to end beside the bare session and its peers, in turns.

    python scripts/bench/infer.py bin/synshard MODEL.onnx DATASET [--split val] [--rounds 3] [--limit 25] [--node DIR]
        [--weights MODEL.safetensors] [--int8 MODEL.int8.onnx]

A round is: `bench infer` (ready tensors), `bench loader --path eval` (what decoding costs),
`infer` from shards to Arrow, and the Python and Node pipelines over the same images as files.
Medians of the rounds. The share of the bare session that can be reached when decoding takes
d seconds of processor time an image, and the model alone gives S images a second on c cores, is

    bound = c / (c/S + d)        ratio = measured / bound

--weights and --int8 add the same network in other arithmetic, in the same turns: on the training engine in bf16, and
as `synshard model quantize` made it. How many first predictions differ from fp32's stands beside them.

Node's modules (onnxruntime-node, sharp) lie in DIR/node_modules; without --node it is left out.
"""
import argparse, json, os, resource, statistics, subprocess, sys, tempfile, time

p = argparse.ArgumentParser()
p.add_argument("synshard"), p.add_argument("model"), p.add_argument("dataset")
p.add_argument("--split", default="val")
p.add_argument("--rounds", type=int, default=3)
p.add_argument("--limit", type=int, default=0, help="images a synset; 0: all")
p.add_argument("--batch", type=int, default=8)
p.add_argument("--node")
p.add_argument("--weights")
p.add_argument("--int8")
a = p.parse_args()
here = os.path.dirname(os.path.abspath(__file__))
cores = len(os.sched_getaffinity(0))
env = dict(os.environ, SYNSHARD_PROGRESS="off")


def call(*args, **more):
    began = time.perf_counter()
    r = subprocess.run(args, check=True, stdout=subprocess.PIPE, text=True, env=dict(env, **more))
    return r.stdout, time.perf_counter() - began


def first_predictions(path):
    import pyarrow as pa

    with pa.ipc.open_file(path) as f:
        return [l[0] for l in f.read_all()["pred_label"].to_pylist()]


def last(text):
    return json.loads(text.strip().splitlines()[-1])


limit = ["--limit-per-synset", str(a.limit)] if a.limit else []
with tempfile.TemporaryDirectory() as tmp:
    folder = os.path.join(tmp, "folder")
    call(a.synshard, "export", a.dataset, "--to", "folder", "--out", folder, "--split", a.split, *limit)
    got, differ = {}, {}
    ways = {"synshard": [a.model]}
    if a.weights:
        ways["synshard_engine_bf16"] = [a.weights, "--engine", "torch", "--precision", "bf16"]
    if a.int8:
        ways["synshard_int8"] = [a.int8]
    for round in range(a.rounds):
        bare = json.loads(call(a.synshard, "bench", "infer", a.model, "--batches", str(a.batch), "--runs", str(cores), "--max", "15s", "--json")[0])
        got.setdefault("bare", []).append(bare["best"]["images_per_second"])
        load = json.loads(call(a.synshard, "bench", "loader", a.dataset, "--split", a.split, "--path", "eval", "--seconds", "5", "--json")[0])
        got.setdefault("decode_per_core", []).append(load["runs"][0]["images_per_second_per_core"])
        for way, (model, *flags) in ways.items():
            out = os.path.join(tmp, f"{way}{round}.arrow")
            text, seconds = call(a.synshard, "infer", model, a.dataset, *flags, "--split", a.split, *limit, "--batch", str(a.batch), "--out", out, "--json")
            got.setdefault(way, []).append(json.loads(text)["images"] / seconds)
            if round == 0:
                top = first_predictions(out)
                fp32 = top if way == "synshard" else fp32
                differ[way] = f"{sum(x != y for x, y in zip(top, fp32))} of {len(fp32)}"
        for runs in sorted({1, cores}):  # one run with every core, or a run a core: the better counts
            text, _ = call(sys.executable, os.path.join(here, "infer_python.py"), a.model, folder, os.path.join(tmp, "py.parquet"), "--batch", str(a.batch), "--runs", str(runs))
            got.setdefault(f"python_runs{runs}", []).append(last(text)["images_per_second"])
        if a.node:
            text, _ = call("node", os.path.join(here, "infer_node.mjs"), a.model, folder, os.path.join(tmp, "node.ndjson"), str(a.batch), NODE_PATH=os.path.join(a.node, "node_modules"))
            got.setdefault("node", []).append(last(text)["images_per_second"])
    m = {k: statistics.median(v) for k, v in got.items()}
    bound = cores / (cores / m["bare"] + 1 / m["decode_per_core"])
    python = max(v for k, v in m.items() if k.startswith("python"))
    result = {"cores": cores, "rounds": got, "median": m, "bound": bound, "of_bound": m["synshard"] / bound, "of_python": {w: m[w] / python for w in ways}, "differ_from_fp32": differ,
              "peak_mib_of_children": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024}
    if a.node:
        result["of_node"] = {w: m[w] / m["node"] for w in ways}
    print(json.dumps(result, indent=1))
