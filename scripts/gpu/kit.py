#!/usr/bin/env python3
"""What a card shows, for when it is at hand for minutes: each stage has its own time box, and each result is one JSON line,
written when it is known, to stdout and to OUT/results.ndjson. A cut loses only what was running. Everything the stages
print is in OUT/log-N.txt.

  scripts/gpu/kit.py --call 1   (4 minutes)  environment, build, the interface from C, eight steps, correctness
  scripts/gpu/kit.py --call 2   (9 minutes)  the step beside PyTorch eager and torch.compile, and where its time goes
  scripts/gpu/kit.py --call 3   (8 minutes)  training on the drawn set, prediction beside PyTorch's, fp16 in 11 GB, --batch auto
  scripts/gpu/kit.py --call 4   (9 minutes)  by itself: what has not been seen on a card yet, and on a new one the step beside its peers

--stages takes some of a call's stages, by name: what is left of a loan, or what was mended since.
It runs from what scripts/gpu/pack.sh packed, or from a checkout with bin/synshard and bin/torch.test. --device cpu --tiny
tries all of it on the CPU in little. Calls 2 and 3 use the library that call 1 built, or what --lib names; call 4 the one that was
carried along, if it opens, for it is of the PyTorch that is there more often than not, and building takes a minute. Exit status 1
says that a stage failed."""
import argparse, collections, csv, glob, json, os, re, shutil, signal, subprocess, sys, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BIN = os.path.join(ROOT, "bin")
NARROW = "TestForward$|TestGradients$|TestGradientsPlain$|TestPinned$|TestFastPaths/fused,_wide"
RECORDED = "TestRecordedSteps/bf16_rmsprop$"
PATHS = "TestFastPaths|TestRecordedSteps$|TestLastPlace|TestGradients|TestGradientPaths|TestCrossEntropy|TestUpdates$|TestLowWeights"


class Kit:
    def __init__(self, a):
        self.a, self.began, self.failed, self.lock = a, time.monotonic(), [], threading.Lock()
        os.makedirs(a.out, exist_ok=True)
        self.results = open(os.path.join(a.out, "results.ndjson"), "a")
        self.log = open(os.path.join(a.out, f"log-{a.call}.txt"), "a")
        self.cuda = a.device != "cpu"
        self.synshard = os.path.join(BIN, "synshard")
        built = os.path.join(a.out, "lib", "libsynshard_torch.so")
        self.lib = a.lib or (built if os.path.exists(built) else "")
        self.env = dict(os.environ, SYNSHARD_PROGRESS="off", PYTHONUNBUFFERED="1")
        if os.path.isdir(os.path.join(BIN, "wordnet")):
            self.env["SYNSHARD_WORDNET"] = os.path.join(BIN, "wordnet")
        if self.lib:
            self.env["SYNSHARD_TORCH_LIB"] = self.lib
        try:
            import torch  # the kit needs to know where it is, and the peers are it
            self.torch = os.path.dirname(torch.__file__)
        except ImportError:
            self.torch = None

    def say(self, **result):
        line = json.dumps({"call": self.a.call, "at_s": round(time.monotonic() - self.began, 1), **result})
        with self.lock:
            for f in (sys.stdout, self.results):
                print(line, file=f, flush=True)

    def run(self, name, seconds, command, each=None, env=None, cwd=None, good=(0,)):
        """Runs a command for so many seconds at most; each sees every line of its stdout and may return a result to say.
        True when it ended by itself with a good status."""
        seconds = min(seconds * (10 if self.a.tiny else 1), self.left())  # a busy CPU is no card
        if seconds < 1:
            self.say(stage=name, skipped="no time left")
            return False
        began, last = time.monotonic(), []
        with self.lock:
            print(f"== {name}: {' '.join(command)}", file=self.log, flush=True)
        p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", cwd=cwd,
                             env=dict(self.env, **(env or {})), start_new_session=True)
        cut = threading.Event()

        def stop():
            cut.set()
            for s in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(p.pid, s)
                    p.wait(3)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    pass
        timer = threading.Timer(seconds, stop)
        timer.start()
        for line in p.stdout:
            with self.lock:
                self.log.write(line)
                self.log.flush()
            last = (last + [line.rstrip()])[-5:]
            result = each(line.rstrip("\n")) if each else None
            if result:
                self.say(stage=name, **result)
        code = p.wait()
        timer.cancel()
        ok = code in good and not cut.is_set()
        if not ok:
            self.failed.append(name)
        self.say(stage=name, ok=ok, seconds=round(time.monotonic() - began, 1), **({} if ok else {
            "cut_after_s": seconds} if cut.is_set() else {"exit": code, "last": last}))
        return ok

    def size(self, steps=50):
        """Of a measured step."""
        if self.a.tiny:
            return ["--batch", "2", "--steps", "1", "--warmup", "1", "--precision", "bf16"]
        return ["--batch", str(self.a.batch), "--steps", str(steps), "--precision", "bf16"]

    def short(self):
        """A measured step of which only the rate is wanted."""
        return self.size(30) + (["--model", "googlenet"] if self.a.tiny else [])

    def left(self):
        return self.a.seconds - (time.monotonic() - self.began)

    def skip(self, name, why):
        self.say(stage=name, skipped=why)

    def bench(self, name, seconds, *more):
        """One `synshard bench train`; its report is the result."""
        return self.run(name, seconds, [self.synshard, "bench", "train", "--device", self.a.device, "--json", *more], report("steps", "{", "}"))

    def tests(self, name, seconds, pattern):
        """Tests of the engine, each a result when it ends."""
        def each(line):
            m = re.match(r"\s*--- (PASS|FAIL|SKIP): (\S+) \(([\d.]+)s\)", line)
            if m:
                return {"test": m[2], "result": m[1], "took_s": float(m[3])}
            if "_test.go:" in line or line.startswith("panic"):
                return {"said": line.strip()}
        return self.run(name, seconds, [os.path.join(BIN, "torch.test"), "-test.v", "-test.run", pattern], each,
                        env={"SYNSHARD_TEST_DEVICE": self.a.device}, cwd=os.path.join(ROOT, "train", "torch"))


def report(name, opens, closes):
    """Collects a line at a time what `--json` prints, and gives it by a name when it is whole."""
    text = []

    def collect(line):
        text.append(line)
        if line == closes or (line.startswith(opens) and line.endswith(closes)):
            begin = next(i for i, t in enumerate(text) if t.startswith(opens))
            return {name: json.loads("\n".join(text[begin:]))}
    return collect


def json_lines(line):
    try:
        got = json.loads(line)
    except ValueError:
        return None
    return got if isinstance(got, dict) else None


# Call 1

def environment(k):
    found = {"commit": open(os.path.join(ROOT, "commit")).read().strip() if os.path.exists(os.path.join(ROOT, "commit")) else None,
             "processors": os.cpu_count(), "tools": {t: shutil.which(t) for t in ("g++", "nvcc", "ncu", "nvidia-smi")}}
    if k.torch:
        import torch
        found["torch"], found["cuda"] = torch.__version__, torch.version.cuda
        found["headers"] = sorted(os.path.relpath(p, os.path.dirname(k.torch)) for p in glob.glob(os.path.join(k.torch, "..", "nvidia", "*", "include")))
    k.say(stage="environment", **found)
    if k.cuda:
        k.run("card", 15, ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.max.sm", "--format=csv,noheader"], lambda l: {"card": l})
        k.run("loader", 15, ["sh", "-c", "ldconfig -p | grep -E 'nvrtc|cudnn|cudart|nccl' || true"], lambda l: {"library": l.strip()})


def build(k):
    """The engine's library; while it is built, what the card can do is measured. What cannot be built is taken along."""
    if k.lib:
        return k.skip("build", f"{k.lib} is used")
    if not k.torch:
        return k.skip("build", "no torch in this Python")
    side = threading.Thread(target=limits, args=(k,))
    side.start()
    if not compiled(k) and os.path.exists(CARRIED):
        k.failed.remove("build")
        use_carried(k)
        k.say(stage="build", fallback="the library that was carried along")
    side.join()


CARRIED = os.path.join(BIN, "libsynshard_torch.so")


def compiled(k):
    """The library, built here; True if it could be."""
    lib = os.path.join(k.a.out, "lib", "libsynshard_torch.so")
    if not k.run("build", 100, [os.path.join(ROOT, "train", "torch", "shim", "build.sh"), "--torch", k.torch, "--out", lib]):
        return False
    k.lib = k.env["SYNSHARD_TORCH_LIB"] = lib
    return True


def use_carried(k):
    """The library that was carried along, with the PyTorch that is here."""
    k.lib = k.env["SYNSHARD_TORCH_LIB"] = os.path.join(k.a.out, "lib", "libsynshard_torch.so")
    os.makedirs(os.path.dirname(k.lib), exist_ok=True)
    shutil.copy(CARRIED, k.lib)
    paths = [os.path.join(k.torch, "lib")] + glob.glob(os.path.join(k.torch, "..", "nvidia", "*", "lib"))
    k.env["LD_LIBRARY_PATH"] = ":".join(paths + [p for p in [os.environ.get("LD_LIBRARY_PATH")] if p])


def limits(k):
    if not k.torch:
        return k.skip("limits", "no torch in this Python")
    k.run("limits", 60, [sys.executable, os.path.join(ROOT, "scripts", "bench", "limits.py"), "--device", k.a.device, "--precision", "bf16",
                         "--seconds", "0.2" if k.a.tiny else "2"], json_lines)


def smoke(k):
    program, capability = os.path.join(k.a.out, "smoke"), 0
    if k.cuda:
        import torch
        major, minor = torch.cuda.get_device_capability()
        capability = 10 * major + minor
    if k.run("interface, compile", 20, ["gcc", "-O1", "-I", os.path.join(ROOT, "train", "torch", "shim"), "-o", program, os.path.join(HERE, "smoke.c"), "-ldl"]):
        k.run("interface", 30, [program, k.lib, str(capability)], json_lines)


def first_steps(k):
    k.bench("first steps", 60, "--batch", "2" if k.a.tiny else "16", "--steps", "1" if k.a.tiny else "8", "--precision", "bf16",
            *(["--warmup", "1"] if k.a.tiny else []))


def correctness(k):
    k.tests("correctness", 80, "TestForward$" if k.a.tiny else NARROW)
    if k.cuda:
        k.tests("recorded steps", 60, RECORDED)


# Call 2

def steps(k):
    for i in range(1 if k.a.tiny else 2):
        k.bench(f"steps, run {i + 1}", 60, *k.size())


def peers(k):
    if not k.torch:
        return k.skip("peers", "no torch in this Python")
    k.run("peers", 30 if k.a.tiny else 300,  # compiling took more than two minutes on an H100
          [sys.executable, os.path.join(ROOT, "scripts", "bench", "train_pytorch.py"), "--device", k.a.device, "--both", *k.size(),
           *(["--profile", "40"] if k.cuda else [])], json_lines)


def plans(k):
    """Whether cuDNN's plans beyond the first ten pay, and how much the choice differs from process to process: each run
    measures anew, so the spread of the two runs above is the sampling's."""
    if not k.cuda:
        return k.skip("all plans", "needs a card")
    for i in range(2):
        k.bench(f"all plans, run {i + 1}", 180, "--all-plans", *k.size(30))


def unfused(k):
    k.bench("plain operations", 60, "--unfused", *k.size(30))


def kernels(k):
    """Time and bytes of one replayed step by kernel, each node of the recording by itself; nothing of what comes before it."""
    if not shutil.which("ncu"):
        return k.skip("kernels", "ncu is not here")
    table = os.path.join(k.a.out, "kernels.csv")
    step = ["--device", k.a.device, "--precision", "bf16", *(["--profile", "--batch", str(k.a.batch), "--warmup", "10", "--steps", "1"] if k.cuda else
                                                            ["--model", "googlenet", "--batch", "2", "--warmup", "0", "--steps", "1"])]
    if k.run("kernels", 90, ["ncu", "--profile-from-start", "off", "--graph-profiling", "node", "--clock-control", "none", "--print-units", "base",
                             "--metrics", "gpu__time_duration.sum,dram__bytes.sum", "--csv", "--log-file", table, k.synshard, "bench", "train", *step]):
        k.say(stage="kernels", profile=by_kernel(table))


def by_kernel(table):
    """The step's launches, their milliseconds together, and of the kernels that take most of them how often they ran, their
    milliseconds and TB/s."""
    with open(table, newline="") as f:
        rows = list(csv.DictReader(l for l in f if l.startswith('"')))  # other lines are ncu's own talk
    launches, of = {r["ID"] for r in rows}, collections.defaultdict(lambda: [set(), 0.0, 0.0])
    for r in rows:
        name = re.sub(r"<.*|\(.*", "", r["Kernel Name"])[:60]
        of[name][0].add(r["ID"])
        of[name][1 if r["Metric Name"].startswith("gpu__time") else 2] += float(r["Metric Value"].replace(",", ""))
    top = sorted(of.items(), key=lambda e: -e[1][1])[:25]
    return {"launches": len(launches), "ms": round(sum(v[1] for v in of.values()) / 1e6, 3), "kernels": [
        {"kernel": name, "n": len(ids), "ms": round(ns / 1e6, 3), "tb_s": round(b / ns / 1e3, 2) if ns else None} for name, (ids, ns, b) in top]}


def other_sizes(k):
    if k.a.tiny:
        return k.skip("other sizes", "tiny")
    k.bench("twice the batch", 60, "--batch", str(2 * k.a.batch), "--steps", "30", "--precision", "bf16")
    k.bench("fp16", 60, "--batch", str(k.a.batch), "--steps", "30", "--precision", "fp16")
    k.bench("recomputed", 60, "--recompute", "--batch", str(k.a.batch), "--steps", "30", "--precision", "bf16")


# Call 4, which is one by itself

def library(k):
    """The one that was carried along where its interface can be called; else one is built."""
    if k.lib:
        return smoke(k)
    if not k.torch:
        return k.skip("library", "no torch in this Python")
    if os.path.exists(CARRIED):
        before = dict(k.env)
        use_carried(k)
        smoke(k)
        if "interface" not in k.failed:
            return
        k.failed.remove("interface")
        k.env, k.lib = before, ""
    if compiled(k):
        smoke(k)


def paths(k):
    """The paths held to each other from one state, orders of memory, recordings in every precision, what a last place does."""
    k.tests("paths", 130, "TestLastPlace|TestCrossEntropy" if k.a.tiny else PATHS)


def step(k):
    k.bench("step", 45, *k.short())


def compared(k):
    """torch.compile, whose first step takes minutes, and eager before it."""
    if k.a.tiny:
        return k.skip("compared", "call 2 has it")
    peers(k)


def deterministic(k):
    if not k.cuda:
        return k.skip("deterministic", "needs a card")
    k.bench("deterministic", 45, "--deterministic", *k.short())
    k.tests("deterministic, the same bits", 40, "TestStateContinues|TestQueue")


def recomputed(k):
    k.bench("recomputed", 45, "--recompute", *k.short())


def all_plans(k):
    if not k.cuda:
        return k.skip("all plans", "needs a card")
    k.bench("all plans", 180, "--all-plans", *k.short())


def onnx_runtime(k):
    """Its CUDA provider over a fresh network, beside the engine's own prediction."""
    ort = ort_library()
    if not ort:
        return k.skip("prediction, ONNX Runtime", NO_ORT)
    fresh, weights, network = (os.path.join(k.a.out, "fresh" + kind) for kind in (".pth", ".safetensors", ".onnx"))
    make = f"import torch, torchvision; torch.save(torchvision.models.inception_v3(weights=None, init_weights=False).state_dict(), {fresh!r})"
    if not (k.run("fresh weights", 30, [sys.executable, "-c", make]) and
            k.run("fresh weights, import", 20, [k.synshard, "model", "import", fresh, "--out", weights]) and
            k.run("fresh weights, export", 20, [k.synshard, "model", "export", weights, "--out", network])):
        return
    batch, most = ("2", "100ms") if k.a.tiny else (str(k.a.batch), "8s")
    for name, more in ("ONNX Runtime", [network, "--ort-lib", ort]), ("the engine", [weights, "--engine", "torch", "--precision", "fp32"]):
        k.run("prediction, " + name, 60, [k.synshard, "bench", "infer", *more, "--device", k.a.device, "--batches", batch, "--max", most, "--json"],
              report("prediction", "{", "}"))


# Call 3

NO_ORT = "its library is not here: bin/onnxruntime/libonnxruntime.so or Python's onnxruntime, its CUDA provider beside it"


def ort_library():
    """ONNX Runtime with its CUDA provider: named, carried, or of the Python that is there."""
    named = os.environ.get("ONNXRUNTIME_SHARED_LIBRARY_PATH")
    if named:
        return named
    places = [os.path.join(BIN, "onnxruntime")] + [os.path.join(p, "onnxruntime", "capi") for p in sys.path]
    return next((lib for p in places if glob.glob(os.path.join(p, "libonnxruntime_providers_cuda.so*"))
                 for lib in glob.glob(os.path.join(p, "libonnxruntime.so*"))), "")


def drawn_set(k):
    data, archives = os.path.join(k.a.out, "dataset"), os.path.join(k.a.out, "archives")
    few = ["--train-per-synset", "2", "--val-per-synset", "1", "--test-images", "1"] if k.a.tiny else []
    if k.run("drawn set, draw", 60, [k.synshard, "sample", "--out", archives, *few]):
        a = os.path.join(archives, "ILSVRC2012")
        k.run("drawn set, ingest", 60, [k.synshard, "ingest", "--train", a + "_img_train.tar", "--val", a + "_img_val.tar",
                                        "--devkit", a + "_devkit_t12.tar.gz", "--out", data])
    return data


def from_shards(k):
    k.data = drawn_set(k)
    k.bench("steps from shards", 60, "--data", k.data, *k.size())


def trains(k):
    run = os.path.join(k.a.out, "run")
    few = ["--model", "resnet50", "--width", "0.0625", "--batch", "2", "--stop-after-steps", "1"] if k.a.tiny else []
    k.run("training", 60 if k.a.tiny else 240,
          [k.synshard, "train", k.data, "--recipe", "demo", "--out", run, "--device", k.a.device, "--progress", "lines", *few],
          good=(0, 75) if k.a.tiny else (0,))


def eleven_gb(k):
    if not k.cuda:
        return k.skip("fp16 in 11 GB", "needs a card")
    import torch
    share = 10.5e9 / torch.cuda.get_device_properties(0).total_memory  # what a desktop leaves of 11 GB
    bound = {"PYTORCH_CUDA_ALLOC_CONF": f"per_process_memory_fraction:{share:.4f}"}
    k.run("fp16 in 11 GB, --batch auto", 120,
          [k.synshard, "train", k.data, "--recipe", "demo", "--out", os.path.join(k.a.out, "small"), "--device", k.a.device,
           "--precision", "fp16", "--batch", "auto", "--stop-after-steps", "2", "--progress", "lines"], env=bound, good=(0, 75))


def predicts(k):
    weights = os.path.join(k.a.out, "run", "model.safetensors")
    if not os.path.exists(weights):
        return k.skip("prediction", "no finished run")
    out = os.path.join(k.a.out, "predictions.arrow")
    if k.run("prediction", 60, [k.synshard, "infer", weights, k.data, "--split", "val", "--engine", "torch", "--device", k.a.device, "--out", out]):
        k.run("evaluation", 30, [k.synshard, "eval", out, "--json"])


def prediction_speed(k):
    """Ready images through the engine, beside PyTorch eager and torch.compile and, where its library was carried, ONNX
    Runtime. The weights are those of the run's checkpoint: what they say does not matter here."""
    found = sorted(glob.glob(os.path.join(k.a.out, "run", "**", "*.safetensors"), recursive=True), key=os.path.getmtime)
    if not found:
        return k.skip("prediction, speed", "no run has left weights")
    weights, network = (os.path.join(k.a.out, "predicted" + kind) for kind in (".safetensors", ".onnx"))
    for to in weights, network:
        if not k.run("prediction, speed: " + os.path.basename(to), 30, [k.synshard, "model", "export", found[-1], "--out", to]):
            return
    precision, batches = ("fp32", "2") if k.a.tiny else ("bf16", f"64,{k.a.batch}")
    most = "100ms" if k.a.tiny else "8s"

    def measured(name, seconds, model, *more):
        k.run(name, seconds, [k.synshard, "bench", "infer", model, "--device", k.a.device, "--batches", batches, "--max", most, "--json", *more], report("prediction", "{", "}"))
    measured("prediction, speed", 60, weights, "--engine", "torch", "--precision", precision)
    if not k.a.tiny:
        measured("prediction, speed in fp16", 40, weights, "--engine", "torch", "--precision", "fp16")
    if k.torch:
        k.run("prediction, peers", 20 if k.a.tiny else 90,
              [sys.executable, os.path.join(ROOT, "scripts", "bench", "predict_pytorch.py"), "--device", k.a.device, "--precision", precision,
               *(["--batch", "1", "--batches", "1", "--warmup", "1", "--only-eager"] if k.a.tiny else ["--batch", str(k.a.batch)])], json_lines)
    ort = ort_library()
    if not ort:
        return k.skip("prediction, ONNX Runtime", NO_ORT)
    measured("prediction, ONNX Runtime", 60, network, "--ort-lib", ort)


CALLS = {1: [environment, build, smoke, first_steps, correctness],
         2: [environment, limits, steps, peers, unfused, kernels, other_sizes, plans],
         3: [environment, from_shards, trains, predicts, prediction_speed, eleven_gb],
         4: [environment, library, step, compared, paths, kernels, deterministic, recomputed, all_plans, onnx_runtime]}
SECONDS = {1: 230, 2: 560, 3: 480, 4: 560}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--call", type=int, choices=CALLS, required=True)
    p.add_argument("--out", default="gpu-kit", help="directory of results")
    p.add_argument("--device", default="cuda")
    p.add_argument("--batch", type=int, default=256)
    p.add_argument("--seconds", type=float, help="for the whole call")
    p.add_argument("--lib", help="the engine's library, built")
    p.add_argument("--stages", help="of the call's stages these alone, with commas between")
    p.add_argument("--tiny", action="store_true", help="the smallest that goes through every stage")
    a = p.parse_args()
    a.seconds, a.out = a.seconds or SECONDS[a.call] * (5 if a.tiny else 1), os.path.abspath(a.out)
    chosen = a.stages.split(",") if a.stages else [stage.__name__ for stage in CALLS[a.call]]
    if unknown := set(chosen) - {stage.__name__ for stage in CALLS[a.call]}:
        p.error(f"--stages: call {a.call} has no {', '.join(sorted(unknown))}; it has {', '.join(s.__name__ for s in CALLS[a.call])}")
    k = Kit(a)
    for stage in (s for s in CALLS[a.call] if s.__name__ in chosen):
        if stage not in (environment, build, limits, library) and not k.lib:
            k.skip(stage.__name__, "no library: call 1 builds it, --lib names it")
            k.failed.append(stage.__name__)
            continue
        try:
            stage(k)
        except Exception as e:  # one stage's fault is not the next one's
            k.failed.append(stage.__name__)
            k.say(stage=stage.__name__, ok=False, error=repr(e))
    k.say(done=True, failed=k.failed)
    sys.exit(1 if k.failed else 0)


main()
