#!/usr/bin/env python3
"""Makes a page of docs/benchmarks anew: runs every measurement named on it, one after the other, and puts what it printed in its place.

    make demo && python scripts/bench/page.py docs/benchmarks/avx2.md [--only training,loader] [--again] [--list]

A page is for a kind of machine. Where it has a line <!-- measured: NAME -->, what follows up to <!-- end --> is the command, the day and
the output of that measurement; the text around is left as it is. Run in the checkout, with nothing else at work, by a Python that has the
peers; a peer that is missing is named in the output. `demo/` is what `make demo` left; images, models and results lie in `bench/`: a run
that was cut goes on, and --again measures what has a result already. All together take about an hour of two cores, of
which inductor's compiling is ten minutes and more.
"""
import argparse, datetime, json, os, re, subprocess, sys, time

SAMPLE = ["bin/synshard sample --out bench/sample", "{python} scripts/bench/loader_images.py bench/sample bench/images 400"]
DATASET = SAMPLE + ["bin/synshard ingest bench/images --out bench/dataset"]
INT8 = ["bin/synshard model quantize demo/run/model.onnx demo/dataset --images 32 --out bench/model.int8.onnx"]
ARCHIVE = SAMPLE + ["tar -cf bench/images.tar -C bench/images ."]

# Name: what has to be there first, and the command.
MEASURES = {
    "limits": ([], "{python} scripts/bench/limits.py --precision fp32"),
    "training": ([], "scripts/bench/train.sh --compile --precision fp32 --batch 16 --steps 3 --rounds 3"),
    "training-bf16": ([], "scripts/bench/train.sh --compile --precision bf16 --batch 16 --steps 3 --rounds 2"),
    "training-options": (DATASET, "{python} scripts/bench/train_options.py --synshard bin/synshard --dataset bench/dataset"),
    "training-procs": ([], "bin/synshard bench train --procs 2 --batch 16 --steps 3"),
    "loader": (SAMPLE, "{python} scripts/bench/loader_peers.py bin/synshard bench/images 5"),
    "loader-workers": (DATASET, "bin/synshard bench loader bench/dataset -j 1,2 --rounds 7"),
    "loader-eval": (DATASET, "bin/synshard bench loader bench/dataset -j 1 --path eval"),
    "inference": (INT8, "{python} scripts/bench/infer.py bin/synshard demo/run/model.onnx demo/dataset --weights demo/run/model.safetensors --int8 bench/model.int8.onnx"),
    "inference-memory": (SAMPLE, "{python} scripts/bench/infer_memory.py bin/synshard demo/run/model.onnx bench/images -- --batch 32"),
    "ingest": ([], "{python} scripts/bench/ingest.py --synshard bin/synshard --dir bench/ingest --gib 1"),
    "bucket-ingest": (ARCHIVE, "scripts/bench/ingest_s3.sh --tar bench/images.tar"),
    "bucket": (ARCHIVE, "scripts/bench/bucket.sh --tar bench/images.tar --images 100 demo/run/model.onnx"),
    "join": ([], "scripts/bench/join.sh --synsets 5000 --turns 1"),
    "int8": ([], "{python} scripts/bench/quantize.py --synshard bin/synshard --model demo/run/model.onnx --dataset demo/dataset --images 32 --rounds 5"),
    "serve": ([], "go run ./scripts/bench/serve -synshard bin/synshard -dir bench/large -predicted train -val 50000"),
    "near": (SAMPLE, "{python} scripts/bench/near/copies.py bin/synshard bench/images bench/near 400"),
}
BLOCK = re.compile(r"(<!-- measured: ([\w-]+) -->\n).*?(<!-- end -->)", re.S)


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
    """The result of a measurement: that of bench/results, or a new one."""
    kept = f"bench/results/{name}.json"
    if os.path.exists(kept) and not again:
        return json.load(open(kept))
    first, command = MEASURES[name]
    prepare(first)
    print(f"page: {name}: {command}", file=sys.stderr)
    began = time.monotonic()
    result = {"command": command.replace("{python}", "python"), "output": shell(command), "day": datetime.date.today().isoformat()}
    result["seconds"] = round(time.monotonic() - began)
    result["version"] = shell("bin/synshard version").split("\n")[0]
    with open(kept, "w") as f:
        json.dump(result, f, indent=1)
    return result


def columns(found):
    """A Markdown table of an object's members that are names with a number each; the members are its columns."""
    tables = {k: v for k, v in found.items() if isinstance(v, dict) and v and all(isinstance(x, (int, float, str)) for x in v.values())}
    shown = lambda x: f"{x:.4g}" if isinstance(x, float) else str(x)
    lines = []
    if tables:
        names = list(dict.fromkeys(n for v in tables.values() for n in v))
        lines = ["| | " + " | ".join(k.replace("_", " ") for k in tables) + " |", "|---" * (len(tables) + 1) + "|"]
        lines += [f"| {n} | " + " | ".join(shown(v[n]) if n in v else "" for v in tables.values()) + " |" for n in names] + [""]
    single = [f"{k.replace('_', ' ')} {shown(v)}" for k, v in found.items() if isinstance(v, (int, float, str))]
    return "\n".join(lines + ["; ".join(single)] * bool(single))


def markdown(result):
    try:
        body = columns(json.loads(result["output"]))
    except ValueError:
        body = "\n".join("    " + line for line in result["output"].strip("\n").split("\n"))
    return f"`{result['command']}`, {result['day']}, {result['version']}, {result['seconds']} s:\n\n{body.rstrip()}\n"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("page", nargs="?")
    p.add_argument("--only", default="")
    p.add_argument("--again", action="store_true")
    p.add_argument("--list", action="store_true", help="print every measurement with its command, and run none")
    a = p.parse_args()
    if a.list:
        return print("\n".join(f"{name}: {command}" for name, (_, command) in MEASURES.items()))
    if not a.page:
        p.error("which page?")
    text = open(a.page).read()
    names = [name for _, name, _ in BLOCK.findall(text)]
    only = a.only.split(",") if a.only else names
    for name in [*names, *only]:
        if name not in MEASURES or name not in names:
            p.error(f"{name}: {'is not on the page' if name in MEASURES else 'is no measurement (--list has them)'}")
    os.makedirs("bench/results", exist_ok=True)
    for name in only:  # the page is written after each
        block = markdown(measure(name, a.again))
        text = BLOCK.sub(lambda m: m[1] + block + m[3] if m[2] == name else m[0], text)
        with open(a.page, "w") as f:
            f.write(text)


if __name__ == "__main__":
    main()
