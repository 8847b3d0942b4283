"""Ingest beside cp, libjpeg-turbo, and three Python libraries, in turns.

    python scripts/bench/ingest.py --synshard bin/synshard --dir /big/disk/bench --gib 2

makes a set of ImageNet-like JPEGs (500x375, about 110 KB) once, as a tar of one
tar a synset and as a tree of directories, then measures in each round, one
after the other: cp of the tar, ingest with --check-images header, libjpeg-turbo
decoding, ingest with --check-images decode, and what of Hugging Face datasets
(imagefolder to save_to_disk), WebDataset's ShardWriter and MosaicML's MDSWriter
is installed. Every side ends in sync. The medians and ratios come as JSON.
--many measures a tar of 21,841 tars instead, under bounds on open files.
"""

import argparse
import io
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tarfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SYNSETS = ["n01440764", "n01443537", "n02085620", "n02123045", "n02391049", "n03063599", "n04254680", "n07747607"]


def image(rng):
    """A drawn JPEG with ImageNet's size in pixels and bytes."""
    import numpy as np
    from PIL import Image

    low = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(low).resize((500, 375), Image.BICUBIC), dtype=np.int16)
    grain = np.asarray(Image.fromarray(rng.integers(0, 256, (250, 334), dtype=np.uint8)).resize((500, 375)), dtype=np.int16)
    pixels = np.clip(smooth + ((grain - 128) // 3)[..., None], 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=92)
    return out.getvalue()


def draw(root, size):
    """root/train.tar and root/tree, of about size bytes; made once."""
    import numpy as np

    train, tree = root / "train.tar", root / "tree"
    if train.exists():
        return train, tree
    shutil.rmtree(tree, ignore_errors=True)
    rng, made, n = np.random.default_rng(1), 0, 0
    while made < size:
        name = SYNSETS[n % len(SYNSETS)]
        path = tree / name / f"{name}_{n}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        made += path.write_bytes(image(rng))
        n += 1
    with tarfile.open(root / "making.tar", "w", format=tarfile.GNU_FORMAT) as outer:
        for name in SYNSETS:
            inner = root / f"{name}.tar"
            with tarfile.open(inner, "w", format=tarfile.GNU_FORMAT) as t:
                for p in sorted((tree / name).iterdir()):
                    t.add(p, p.name)
            outer.add(inner, inner.name)
            inner.unlink()
    (root / "making.tar").rename(train)
    return train, tree


def timed(f):
    """Seconds until f's files are on the disk."""
    os.sync()
    start = time.monotonic()
    f()
    os.sync()
    return time.monotonic() - start


def ingest(args, train, out, *more):
    """Seconds and peak memory in bytes."""
    shutil.rmtree(out, ignore_errors=True)
    command = [args.synshard, "ingest", "--train", str(train), "--out", str(out), "--progress", "off", *more]
    peak = 0

    def go():
        nonlocal peak
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=lambda: args.open_files and resource.setrlimit(resource.RLIMIT_NOFILE, (args.open_files,) * 2))
        _, status, usage = os.wait4(child.pid, 0)
        if status:
            sys.exit(f"{command}: status {status}")
        peak = usage.ru_maxrss * 1024

    seconds = timed(go)
    shutil.rmtree(out)
    return seconds, peak


def datasets_job(tree, out):
    import datasets

    datasets.disable_progress_bars()
    cache = out.with_name("hf-cache")
    try:
        set = datasets.load_dataset("imagefolder", data_dir=str(tree), split="train", cache_dir=str(cache))
        set.save_to_disk(str(out), num_proc=os.cpu_count())
    finally:
        shutil.rmtree(cache, ignore_errors=True)


def files(tree):
    for label, folder in enumerate(sorted(tree.iterdir())):
        for p in sorted(folder.iterdir()):
            yield p, label


def webdataset_job(tree, out):
    import webdataset

    out.mkdir()
    with webdataset.ShardWriter(str(out / "%06d.tar"), maxsize=256 << 20, verbose=0) as w:
        for p, label in files(tree):
            w.write({"__key__": p.stem, "jpg": p.read_bytes(), "cls": label})


def mosaic_job(tree, out):
    from streaming import MDSWriter

    with MDSWriter(out=str(out), columns={"image": "bytes", "label": "int"}, hashes=["sha256"], size_limit=256 << 20) as w:
        for p, label in files(tree):
            w.write({"image": p.read_bytes(), "label": label})


PEERS = {"datasets": ("datasets", datasets_job), "webdataset": ("webdataset", webdataset_job), "mosaic": ("streaming", mosaic_job)}


def peers(pythons):
    """Which of them are installed, each in the Python given for it."""
    for name, (module, _) in PEERS.items():
        python = pythons.get(name, sys.executable)
        if subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode == 0:
            yield name, python
        else:
            print(f"ingest.py: {module} cannot be imported by {python}: without {name}", file=sys.stderr)


def peer(name, python, tree, out):
    """Seconds of a peer's job, its imports left out."""
    got = subprocess.run([python, __file__, "--job", name, str(tree), str(out)], check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(got.splitlines()[-1])


def run_job(name, tree, out):
    module, job = PEERS[name]
    __import__(module)
    print(timed(lambda: job(pathlib.Path(tree), pathlib.Path(out))))


def many(args, root):
    """A tar of 21,841 tars of small images: memory and open files."""
    import numpy as np
    from PIL import Image

    train, n = root / "many.tar", 21841
    if not train.exists():
        rng = np.random.default_rng(1)
        with tarfile.open(root / "making.tar", "w", format=tarfile.GNU_FORMAT) as outer:
            for i in range(n):
                inner = io.BytesIO()
                with tarfile.open(fileobj=inner, mode="w") as t:
                    for k in range(2):
                        b = io.BytesIO()
                        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(b, "JPEG")
                        h = tarfile.TarInfo(f"n{i:08d}_{k}.JPEG")
                        h.size = len(b.getvalue())
                        b.seek(0)
                        t.addfile(h, b)
                h = tarfile.TarInfo(f"n{i:08d}.tar")
                h.size = len(inner.getvalue())
                inner.seek(0)
                outer.addfile(h, inner)
        (root / "making.tar").rename(train)
    args.open_files = args.open_files or 256
    seconds, peak = ingest(args, train, root / "out")
    print(json.dumps({"synsets": n, "seconds": round(seconds, 1), "peak_mib": peak >> 20, "open_files_bound": args.open_files}))


def main():
    if sys.argv[1:2] == ["--job"]:
        return run_job(*sys.argv[2:])
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--python", action="append", default=[], metavar="PEER=PATH", help="the Python that has a peer's library")
    p.add_argument("--synshard", required=True)
    p.add_argument("--dir", required=True, type=pathlib.Path)
    p.add_argument("--gib", type=float, default=2)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--open-files", type=int, default=0)
    p.add_argument("--many", action="store_true")
    args = p.parse_args()
    args.dir.mkdir(parents=True, exist_ok=True)
    if args.many:
        return many(args, args.dir)
    train, tree = draw(args.dir, int(args.gib * (1 << 30)))
    images, size = sum(1 for _ in files(tree)), train.stat().st_size
    decoder, out = args.dir / "decode", args.dir / "out"
    subprocess.run(["cc", "-O3", "-o", decoder, HERE / "ingest_decode.c", "-ljpeg", "-lpthread"], check=True)
    chosen = list(peers(dict(v.split("=", 1) for v in args.python)))
    seconds, peak = {}, 0

    def note(name, s):
        seconds.setdefault(name, []).append(s)
        print(f"{name}: {s:.2f} s, {images / s:.0f} images/s, {size / s / 1e6:.0f} MB/s", file=sys.stderr)

    train.read_bytes()  # every side finds the archive in memory, where it fits
    for _ in range(args.rounds):
        note("cp", timed(lambda: subprocess.run(["cp", train, out], check=True)))
        out.unlink()
        for check in ("header", "decode"):
            if check == "decode":
                got = subprocess.run([decoder, train, str(os.cpu_count())], check=True, capture_output=True, text=True).stdout
                note("libjpeg-turbo", float(got.split()[1]))
            s, m = ingest(args, train, out, "--check-images", check)
            note(check, s)
            peak = max(peak, m)
        for name, python in chosen:
            note(name, peer(name, python, tree, out))
            shutil.rmtree(out)
    median = {k: statistics.median(v) for k, v in seconds.items()}
    fastest = min((median[k] for k, _ in chosen), default=None)
    print(json.dumps({
        "images": images, "bytes": size, "rounds": args.rounds, "peak_mib": peak >> 20,
        "images_per_second": {k: round(images / v, 1) for k, v in median.items()},
        "header_over_cp": round(median["cp"] / median["header"], 3),
        "decode_over_libjpeg_turbo": round(median["libjpeg-turbo"] / median["decode"], 3),
        "header_over_fastest_peer": fastest and round(fastest / median["header"], 2),
        "decode_over_fastest_peer": fastest and round(fastest / median["decode"], 2),
    }, indent=1))


if __name__ == "__main__":
    main()
