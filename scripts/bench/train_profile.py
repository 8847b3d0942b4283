#!/usr/bin/env python3
"""Where a training step's time goes on the CPU: oneDNN says of each of its operations how long it took (ONEDNN_VERBOSE),
`synshard bench train` says how long the step and its update took, and what is left is batch norm, ReLU, pools,
concatenations and losses, which the engine computes itself. Convolutions are set against a matrix product measured in
the same run, the rest and the update against a measured copy. Needs torch (for the limits) and a built synshard.
  scripts/bench/train_profile.py [--synshard bin/synshard] [--precision fp32 bf16] [--batch 16] [--steps 4] [--threads N]"""
import argparse, collections, json, os, subprocess, sys

here = os.path.dirname(os.path.abspath(__file__))
forward_multiplies, parameters = 5.7188993e9, 27161264  # of an image, with the auxiliary head


def bench(a, precision, steps):
    cmd = [a.synshard, "bench", "train", "--device", "cpu", "--json", "--progress", "off", "--precision", precision,
           "--batch", str(a.batch), "--steps", str(steps), "--warmup", "1", "--threads", str(a.threads)]
    out = subprocess.run(cmd, env=dict(os.environ, ONEDNN_VERBOSE="1"), check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = out.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.strip() == "{")
    return json.loads("\n".join(x for x in lines[begin:] if not x.startswith("onednn_verbose")))["runs"][0], [x for x in lines if x.startswith("onednn_verbose")]


def parts(lines):
    """Milliseconds and calls by kind of operation."""
    ms, calls = collections.Counter(), collections.Counter()
    for line in lines:
        f = line.split(",")
        at = f.index("exec")
        kind, what = f[at + 2], f[at + 4]
        if kind in ("convolution", "inner_product", "matmul"):
            name = {"forward_training": "forward", "forward_inference": "forward", "backward_data": "backward, to the input",
                    "backward_weights": "backward, to the weights"}.get(what, "")
            name = "convolutions, " + name if kind == "convolution" else "linear layers"
        else:
            name = {"reorder": "layouts and types changed (reorder)", "pooling": "pools of oneDNN", "sum": "gradients added (sum)"}.get(kind, kind)
        ms[name] += float(f[-1])
        calls[name] += 1
    return ms, calls


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--synshard", default=os.path.join(here, "..", "..", "bin", "synshard"))
    p.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--steps", type=int, default=4)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    a = p.parse_args()
    limits = json.loads(subprocess.run([sys.executable, os.path.join(here, "limits.py"), "--device", "cpu", "--threads", str(a.threads),
                                        "--precision", *a.precision], check=True, stdout=subprocess.PIPE, text=True).stdout)
    print("limits: %s TFLOP/s by a matrix product, %.1f GB/s by a copy, %d threads" % (
        ", ".join("%.3f in %s" % (t, q) for q, t in limits["tflops"].items()), limits["copy_gb_s"], a.threads))
    for q in a.precision:
        found, lines = bench(a, q, a.steps)
        lines = [x for x in lines if ",exec," in x]
        ms, calls = parts(lines[len(lines) // (a.steps + 1):])  # every step calls the same; the first is warm-up
        step = 1e3 * a.batch / found["images_per_second"]
        rows = [(n, ms[n] / a.steps, calls[n] / a.steps) for n in ms]
        convolutions = sum(ms for n, ms, _ in rows if n.startswith("convolutions"))
        rows.append(("update of weights and averages", found["update_seconds"] * 1e3, 1))
        rows.append(("batch norm, ReLU, pools, concatenation, losses", step - sum(r[1] for r in rows), 0))
        print("\n%s, batch %d: step %.0f ms, %.2f images/s" % (q, a.batch, step, found["images_per_second"]))
        for n, ms, calls in sorted(rows, key=lambda r: -r[1]):
            if ms >= step / 1000:
                print("  %-48s %8.1f ms %5.1f %%%s" % (n, ms, 100 * ms / step, "  %.0f calls" % calls if calls > 1 else ""))
        flop = 3 * 2 * forward_multiplies * a.batch
        print("  convolutions reach %.3f TFLOP/s, %.0f %% of the matrix product's; the whole step %.3f, %.0f %%" % (
            flop / convolutions / 1e9, 100 * flop / convolutions / 1e9 / limits["tflops"][q], flop / step / 1e9, 100 * flop / step / 1e9 / limits["tflops"][q]))
        # RMSProp reads gradient, weight, two slots and the average and writes all but the gradient: 9 numbers of 4 bytes.
        least = 9 * 4 * parameters / limits["copy_gb_s"] / 1e6
        print("  the update moves %.2f GB: at the copy's rate %.0f ms" % (9 * 4 * parameters / 1e9, least))


main()
