#!/usr/bin/env python3
"""Measures `synshard infer` end to end beside the bare session and its peers, in turns.

    python scripts/bench/infer.py bin/synshard MODEL.onnx DATASET [--split val] [--rounds 3] [--limit 25] [--node DIR]

A round is: `bench infer` (ready tensors), `bench loader --path eval` (what decoding costs),
`infer` from shards to Arrow, and the Python and Node pipelines over the same pictures as files.
Medians of the rounds. The share of the bare session that can be reached when decoding takes
d seconds of processor time a picture, and the model alone gives S pictures a second on c cores, is

    bound = c / (c/S + d)        ratio = measured / bound

Node's modules (onnxruntime-node, sharp) lie in DIR/node_modules; without --node it is left out.
"""
import argparse, json, os, resource, statistics, subprocess, sys, tempfile, time

p = argparse.ArgumentParser()
p.add_argument("synshard"), p.add_argument("model"), p.add_argument("dataset")
p.add_argument("--split", default="val")
p.add_argument("--rounds", type=int, default=3)
p.add_argument("--limit", type=int, default=0, help="pictures a synset; 0: all")
p.add_argument("--batch", type=int, default=8)
p.add_argument("--node")
a = p.parse_args()
here = os.path.dirname(os.path.abspath(__file__))
cores = len(os.sched_getaffinity(0))
env = dict(os.environ, SYNSHARD_PROGRESS="off")


def call(*args, **more):
    began = time.perf_counter()
    r = subprocess.run(args, check=True, stdout=subprocess.PIPE, text=True, env=dict(env, **more))
    return r.stdout, time.perf_counter() - began


def last(text):
    return json.loads(text.strip().splitlines()[-1])


limit = ["--limit-per-synset", str(a.limit)] if a.limit else []
with tempfile.TemporaryDirectory() as tmp:
    folder = os.path.join(tmp, "folder")
    call(a.synshard, "export", a.dataset, "--to", "folder", "--out", folder, "--split", a.split, *limit)
    got = {}
    for round in range(a.rounds):
        bare = json.loads(call(a.synshard, "bench", "infer", a.model, "--batches", str(a.batch), "--runs", str(cores), "--max", "15s", "--json")[0])
        got.setdefault("bare", []).append(bare["best"]["images_per_second"])
        load = json.loads(call(a.synshard, "bench", "loader", a.dataset, "--split", a.split, "--path", "eval", "--seconds", "5", "--json")[0])
        got.setdefault("decode_per_core", []).append(load["runs"][0]["images_per_second_per_core"])
        out = os.path.join(tmp, f"out{round}.arrow")
        text, seconds = call(a.synshard, "infer", a.model, a.dataset, "--split", a.split, *limit, "--batch", str(a.batch), "--out", out, "--json")
        got.setdefault("synshard", []).append(json.loads(text)["rows"] / seconds)
        for runs in sorted({1, cores}):  # one run with every core, or a run a core: the better counts
            text, _ = call(sys.executable, os.path.join(here, "infer_python.py"), a.model, folder, os.path.join(tmp, "py.parquet"), "--batch", str(a.batch), "--runs", str(runs))
            got.setdefault(f"python_runs{runs}", []).append(last(text)["images_per_second"])
        if a.node:
            text, _ = call("node", os.path.join(here, "infer_node.mjs"), a.model, folder, os.path.join(tmp, "node.ndjson"), str(a.batch), NODE_PATH=os.path.join(a.node, "node_modules"))
            got.setdefault("node", []).append(last(text)["images_per_second"])
    m = {k: statistics.median(v) for k, v in got.items()}
    bound = cores / (cores / m["bare"] + 1 / m["decode_per_core"])
    python = max(v for k, v in m.items() if k.startswith("python"))
    result = {"cores": cores, "rounds": got, "median": m, "bound": bound, "of_bound": m["synshard"] / bound, "of_python": m["synshard"] / python,
              "peak_mib_of_children": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024}
    if a.node:
        result["of_node"] = m["synshard"] / m["node"]
    print(json.dumps(result, indent=1))
