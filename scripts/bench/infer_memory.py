#!/usr/bin/env python3
"""Peak and course of the memory of `synshard infer`, and the time to its first batch.

    python scripts/bench/infer_memory.py bin/synshard MODEL.onnx INPUT [--repeat 1] [-- more flags of infer]

INPUT is a folder of images, whose paths are given --repeat times over on stdin. The time to the first
batch is from the start of the process to the first row on stdout, with parts of one batch.
"""
import argparse, json, os, subprocess, sys, tempfile, time

p = argparse.ArgumentParser()
p.add_argument("synshard"), p.add_argument("model"), p.add_argument("folder")
p.add_argument("--repeat", type=int, default=1)
a, more = p.parse_known_args()
more = [m for m in more if m != "--"]
paths = sorted(os.path.join(d, f) for d, _, fs in os.walk(a.folder) for f in fs if f.lower().endswith((".jpg", ".jpeg", ".png")))


def status(pid, key):
    with open(f"/proc/{pid}/status") as f:
        return next((int(l.split()[1]) / 1024 for l in f if l.startswith(key)), 0)


with tempfile.TemporaryDirectory() as tmp:
    names = os.path.join(tmp, "list")
    with open(names, "w") as f:
        f.write("".join(q + "\n" for q in paths * a.repeat))
    began = time.perf_counter()
    run = subprocess.Popen([a.synshard, "infer", a.model, "-", "--out", os.path.join(tmp, "out.arrow"), "--progress", "json", *more],
                           stdin=open(names), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    course, peak, first, done = [], 0, None, 0
    for line in run.stderr:  # a line a second, with what is done
        try:
            done = json.loads(line)["done"]
        except ValueError:
            sys.stderr.write(line)
            continue
        try:
            course.append((done, round(status(run.pid, "VmRSS"))))
            peak = max(peak, status(run.pid, "VmHWM"))
        except (FileNotFoundError, ProcessLookupError):
            pass
        if first is None and done > 0:
            first = time.perf_counter() - began
    run.wait()
step = max(1, len(course) // 12)
print(json.dumps({"images": len(paths) * a.repeat, "exit": run.returncode, "seconds": round(time.perf_counter() - began, 1), "peak_mib": round(peak),
                  "first_report_with_rows_seconds": first, "rows_and_mib": course[::step] + course[-1:]}))
