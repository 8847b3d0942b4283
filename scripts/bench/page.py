#!/usr/bin/env python3
"""Makes a page of measurements, as those of docs/benchmarks, anew: runs the scripts of this folder one after the other, each beside its peers.

    make demo && python scripts/bench/page.py [--only training,loader] [--again] [--list]

Run in the checkout with nothing else at work, by a Python that has the peers; a peer that is missing is named where its figure would be. The
page is bench/page.md, written anew after each measurement: the machine, and of each measurement its command, its day and what it printed. Images,
models and results lie in bench/, so that a run that was cut goes on; --again measures what has a result already. `demo/` is
what `make demo` left. Inductor's compiling alone takes ten minutes and more.
"""
import argparse, datetime, json, os, re, subprocess, sys, time

SAMPLE = ["bin/synshard sample --out bench/sample", "{python} scripts/bench/loader_images.py bench/sample bench/images 400"]
DATASET = SAMPLE + ["bin/synshard ingest bench/images --out bench/dataset"]
INT8 = ["bin/synshard model quantize demo/run/model.onnx demo/dataset --images 32 --out bench/model.int8.onnx"]
# Networks of timm's in floats, with random weights: how fast they are does not depend on them.
NETWORKS = "{python} scripts/bench/quantize_peers.py --synshard bin/synshard --dataset demo/dataset --keep bench/int8 --images 32 --rounds 24"
NETWORKS += " --timm efficientnet_lite0,mobilenetv2_100,mobilenetv3_large_100,efficientnet_b0,resnet50,inception_v3"
ARCHIVE = SAMPLE + ["tar -cf bench/images.tar -C bench/images ."]

# Name: title, what has to be there first, and the command.
MEASURES = {
    "training": ("Training beside PyTorch, eager and compiled", [], "scripts/bench/train.sh --compile --precision fp32 --batch 16 --steps 3 --rounds 3"),
    "training-bf16": ("Training in bf16, where the processor has it", [], "scripts/bench/train.sh --compile --precision bf16 --batch 16 --steps 3 --rounds 2"),
    "training-options": ("What options of training cost", DATASET, "{python} scripts/bench/train_options.py --synshard bin/synshard --dataset bench/dataset"),
    "training-procs": ("Training by two processes", [], "bin/synshard bench train --procs 2 --batch 16 --steps 3"),
    "loader": ("Loader beside its peers, training's crops", SAMPLE, "OMP_NUM_THREADS=1 {python} scripts/bench/loader_peers.py bin/synshard bench/images 5"),
    "loader-workers": ("Loader with one worker and two", DATASET, "bin/synshard bench loader bench/dataset -j 1,2 --rounds 7"),
    "loader-eval": ("Loader, evaluation's crops", DATASET, "bin/synshard bench loader bench/dataset -j 1 --path eval"),
    "inference": ("Inference beside its peers", INT8, "{python} scripts/bench/infer.py bin/synshard demo/run/model.onnx demo/dataset --weights demo/run/model.safetensors --int8 bench/model.int8.onnx"),
    "inference-peers": ("Inference of EfficientNet-Lite0 beside what people put together", SAMPLE + [NETWORKS + " --stages make"],
                        "{python} scripts/bench/infer_peers.py bin/synshard bench/int8/efficientnet_lite0.onnx bench/images --spec bench/int8/efficientnet_lite0.json"),
    "inference-memory": ("Memory of inference", SAMPLE, "{python} scripts/bench/infer_memory.py bin/synshard demo/run/model.onnx bench/images -- --batch 32"),
    "ingest": ("Ingest beside cp, libjpeg-turbo and three libraries", [], "{python} scripts/bench/ingest.py --synshard bin/synshard --dir bench/ingest --gib 1"),
    "bucket-ingest": ("Ingest from and to a bucket", ARCHIVE, "scripts/bench/ingest_s3.sh --tar bench/images.tar"),
    "bucket": ("Reading from a bucket", ARCHIVE, "scripts/bench/bucket.sh --tar bench/images.tar --images 100 demo/run/model.onnx"),
    "join": ("Join of many jobs' synsets", [], "scripts/bench/join.sh --synsets 5000 --turns 1"),
    "int8": ("int8 beside ONNX Runtime's quantiser", [], "{python} scripts/bench/quantize.py --synshard bin/synshard --model demo/run/model.onnx --dataset demo/dataset --images 32 --rounds 5"),
    "int8-networks": ("int8 of six networks beside ONNX Runtime's quantiser and NNCF", [NETWORKS + " --stages make"], NETWORKS + " --stages accuracy,speed --eval-images 100"),
    "serve": ("Looking at 14 million images", [], "go run ./scripts/bench/serve -synshard bin/synshard -wordnet lib/wordnet -dir bench/large -predicted train -val 50000"),
    "near": ("Images that look alike", SAMPLE, "{python} scripts/bench/near/copies.py bin/synshard bench/images bench/near 400"),
}


# Measurements that a processor without these flags would take hours for: libtorch computes a number at a time.
WANTS = {"training-bf16": "avx512f"}


def flags():
    found = re.search(r"flags\s*: (.*)", open("/proc/cpuinfo").read())
    return found[1].split() if found else []


def machine():
    """What the page's title says: processor, its widest instructions, cores to use and memory."""
    model = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    wide = [name for name, flag in (("AVX-512", "avx512f"), ("VNNI", "avx512_vnni"), ("bf16", "avx512_bf16"), ("AMX", "amx_tile")) if flag in flags()] or ["AVX2 and no more"] * ("avx2" in flags())
    memory = int(re.search(r"MemTotal:\s*(\d+)", open("/proc/meminfo").read())[1]) >> 20
    return f"{len(os.sched_getaffinity(0))} cores of {model[1] if model else os.uname().machine}, {', '.join(wide) or 'no AVX2'}, {memory} GiB"


def shell(command):
    """What the command prints on stdout. What it says on stderr is let through."""
    command = command.format(python=sys.executable)
    return subprocess.run(command, shell=True, check=True, stdout=subprocess.PIPE, text=True, env=dict(os.environ, PYTHON=sys.executable)).stdout


def prepare(commands):
    """Runs those that no earlier measurement has run."""
    for command in commands:
        with open("bench/prepared", "a+") as done:
            done.seek(0)
            if command not in done.read().splitlines():
                print(f"page: {command}", file=sys.stderr)
                shell(command)
                done.write(command + "\n")


def measure(name, again):
    """Leaves the result of a measurement in bench/results, unless one is there."""
    kept = f"bench/results/{name}.json"
    if os.path.exists(kept) and not again:
        return
    _, first, command = MEASURES[name]
    prepare(first)
    print(f"page: {name}: {command}", file=sys.stderr)
    began = time.monotonic()
    result = {"command": command.replace("{python}", "python"), "output": shell(command), "day": datetime.date.today().isoformat()}
    result["seconds"] = round(time.monotonic() - began)
    result["version"] = shell("bin/synshard version").split("\n")[0]
    with open(kept, "w") as f:
        json.dump(result, f, indent=1)


def columns(found):
    """A Markdown table of an object's members that are names with a number each; members of the same names are its columns, others are lists below."""
    members = {k: v for k, v in found.items() if isinstance(v, dict) and v}
    for k in list(members):  # of objects again: a column of each of their members
        if all(isinstance(x, dict) for x in members[k].values()):
            inner = members.pop(k)
            members |= {f"{k} {m}": {n: x[m] for n, x in inner.items() if m in x} for x in inner.values() for m in x}
    plain = lambda v: v and all(isinstance(x, (int, float, str)) for x in v.values())
    tables, shown = {k: v for k, v in members.items() if plain(v)}, lambda x: f"{x:.4g}" if isinstance(x, float) else str(x)
    names = list(max(tables.values(), key=len)) if tables else []
    beside = {k: v for k, v in tables.items() if any(n in names for n in v)}
    lines = []
    if tables:
        lines = ["| | " + " | ".join(k.replace("_", " ") for k in beside) + " |", "|---" * (len(beside) + 1) + "|"]
        lines += [f"| {n} | " + " | ".join(shown(v[n]) if n in v else "" for v in beside.values()) + " |" for n in names] + [""]
    said = lambda v: ", ".join(f"{n} {shown(x)}" for n, x in v.items())
    lines += [f"{k.replace('_', ' ')}: {said(v)}\n" for k, v in tables.items() if k not in beside]
    single = [f"{k.replace('_', ' ')} {shown(v)}" for k, v in found.items() if isinstance(v, (int, float, str))]
    return "\n".join(lines + ["; ".join(single)] * bool(single))


def section(name, result):
    try:
        body = columns(json.loads(result["output"]))
    except ValueError:
        body = "\n".join("    " + line for line in result["output"].strip("\n").split("\n") if not line.startswith("{"))
    return f"\n## {MEASURES[name][0]}\n\n`{result['command']}`, {result['day']}, {result['version']}, {result['seconds']} s:\n\n{body.rstrip()}\n"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", default=",".join(MEASURES))
    p.add_argument("--again", action="store_true")
    p.add_argument("--list", action="store_true", help="print every measurement with its command, and run none")
    a = p.parse_args()
    only = a.only.split(",")
    for name in only:
        if name not in MEASURES:
            p.error(f"{name} is no measurement (--list has them)")
    if a.list:
        return print("\n".join(f"{name}: {MEASURES[name][2]}" for name in only))
    os.makedirs("bench/results", exist_ok=True)
    failed = []
    for name in only:
        if name in WANTS and WANTS[name] not in flags():
            print(f"page: {name} is left out: the processor has no {WANTS[name]}", file=sys.stderr)
            continue
        try:
            measure(name, a.again)
        except subprocess.CalledProcessError as e:  # the others may still be measured
            failed.append(f"{name}: exit {e.returncode}")
        with open("bench/page.md", "w") as page:
            page.write(f"# Measurements: {machine()}\n")
            for name in MEASURES:
                if os.path.exists(f"bench/results/{name}.json"):
                    page.write(section(name, json.load(open(f"bench/results/{name}.json"))))
    sys.exit("page: " + "; ".join(failed) if failed else 0)


if __name__ == "__main__":
    main()
