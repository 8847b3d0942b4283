"""What each option of `synshard train` costs: the first steps of a run with it beside those of a run without.

Each run takes the same first steps of Inception-v3 without its auxiliary head, in fp32, over the same shards, one option
changed. Printed are the fastest step and the median of all but the first, in images a second, the fastest against the
plain runs', and the most memory that the process had. The plain run is there at the beginning and the end: what lies
between the two is no difference.

    python scripts/bench/train_options.py --synshard ./synshard --dataset DIR [--only cutmix]
"""
import argparse, json, os, statistics, subprocess, tempfile

OPTIONS = {
    "freeze Mixed_6e": ["--freeze", "Mixed_6e"],
    "freeze backbone": ["--freeze", "backbone"],
    "layer-decay 0.8": ["--layer-decay", "0.8"],
    "class-weights auto": ["--class-weights", "auto"],
    "ema 0.9999": ["--ema", "0.9999"],
    "policy randaugment": ["--policy", "randaugment"],
    "policy trivialaugment_wide": ["--policy", "trivialaugment_wide"],
    "erase 0.25": ["--erase", "0.25"],
    "mixup 0.2": ["--mixup", "0.2"],
    "cutmix 1": ["--cutmix", "1"],
    "aug-repeats 3": ["--aug-repeats", "3"],
    "train-sizes 160": ["--train-sizes", "160"],
    "train-sizes 224": ["--train-sizes", "224"],
}


def measure(a, options, out):
    command = [a.synshard, "train", a.dataset, "--out", out, "--recipe", "gluon", "--mixup", "0", "--val-split", "", "--precision", "fp32", "--progress", "off",
               "--batch", str(a.batch), "--stop-after-steps", str(a.steps), *options]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = child.stderr.read().decode()
    _, status, usage = os.wait4(child.pid, 0)
    if os.waitstatus_to_exitcode(status) != 75:  # stopped, saved
        raise SystemExit(f"{' '.join(command)}: {said}")
    with open(os.path.join(out, "log.ndjson")) as log:
        steps = [line["images_per_s"] for line in map(json.loads, log) if line["kind"] == "step"]
    return max(steps[1:]), statistics.median(steps[1:]), usage.ru_maxrss / 1024


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--synshard", default="./synshard")
    p.add_argument("--dataset", required=True)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--steps", type=int, default=9)
    p.add_argument("--only", default=",".join(OPTIONS))
    a = p.parse_args()
    plain = None
    for name in ["plain", *filter(None, a.only.split(",")), "plain"]:
        with tempfile.TemporaryDirectory() as work:
            best, median, memory = measure(a, OPTIONS.get(name, []), os.path.join(work, "run"))
        plain = plain or best
        print(f"{name:28} {best:6.2f} images/s at best, {median:6.2f} median  {best / plain:5.2f} of plain  {memory:6.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
