#!/usr/bin/env python3
"""How many copies 'synshard verify --near' finds, and how often it takes two images for one.

    python scripts/bench/near/copies.py SYNSHARD FOLDER WORK [IMAGES]

Takes photographs out of FOLDER, of which no two are meant to be copies, makes resized, recompressed and
cropped copies of each by Pillow, one kind a run, and asks for near images of the two together. A copy
is found where it stands in a group with its original; an original is falsely taken where it stands with
another original, or a copy of one. Prints a table, and a JSON object as its last line. WORK is made and removed again.
Needs Pillow.
"""
import glob, io, json, os, random, shutil, subprocess, sys
from PIL import Image

synshard, folder, work = sys.argv[1:4]
most = int(sys.argv[4]) if len(sys.argv) > 4 else 1000
files = sorted(f for f in glob.glob(os.path.join(folder, "**", "*"), recursive=True) if f.lower().endswith((".jpg", ".jpeg")))[:most]


def recompressed(im, quality):
    b = io.BytesIO()
    im.save(b, "JPEG", quality=quality)
    return Image.open(io.BytesIO(b.getvalue())).convert("RGB")


def resized(im, share):
    return im.resize((max(1, round(im.width * share)), max(1, round(im.height * share))), Image.BICUBIC)


def cropped(im, most, rng):
    """Of each side up to a share, as it falls."""
    w, h = im.size
    a = [rng.uniform(0, most) for _ in range(4)]
    return im.crop((round(w * a[0]), round(h * a[1]), round(w * (1 - a[2])), round(h * (1 - a[3]))))


def rim(im, share):
    w, h = im.size
    return im.crop((round(w * share), round(h * share), round(w * (1 - share)), round(h * (1 - share))))


kinds = {
    "resized to a half": lambda im, rng: resized(im, 0.5),
    "resized to a quarter": lambda im, rng: resized(im, 0.25),
    "resized to twice": lambda im, rng: resized(im, 2),
    "squeezed to 224 x 224": lambda im, rng: im.resize((224, 224), Image.BILINEAR),
    "quality 50": lambda im, rng: recompressed(im, 50),
    "quality 20": lambda im, rng: recompressed(im, 20),
    "grey": lambda im, rng: im.convert("L").convert("RGB"),
    "up to 5 % of each side cropped": lambda im, rng: cropped(im, 0.05, rng),
    "up to 5 % cropped, a half, quality 50": lambda im, rng: recompressed(resized(cropped(im, 0.05, rng), 0.5), 50),
    "5 % of every side cropped": lambda im, rng: rim(im, 0.05),
    "up to 10 % of each side cropped": lambda im, rng: cropped(im, 0.1, rng),
    "10 % of every side cropped": lambda im, rng: rim(im, 0.1),
}


def near(dataset):
    out = subprocess.run([synshard, "verify", dataset, "--near", "--json", "--progress", "off"], stdout=subprocess.PIPE, check=True)
    return json.loads(out.stdout)


shutil.rmtree(work, ignore_errors=True)
result = {"images": len(files), "kinds": {}}
for kind, change in [("originals alone", None), *kinds.items()]:
    rng, tree = random.Random(7), os.path.join(work, "tree")
    for name in ("original", "copy"):
        os.makedirs(os.path.join(tree, "train", name))
    for i, f in enumerate(files):
        shutil.copy(f, os.path.join(tree, "train", "original", f"{i:05}.jpg"))
        if change:
            change(Image.open(f).convert("RGB"), rng).save(os.path.join(tree, "train", "copy", f"{i:05}.jpg"), quality=90)
    if not change:
        os.rmdir(os.path.join(tree, "train", "copy"))
    subprocess.run([synshard, "ingest", tree, "--out", os.path.join(work, "set"), "--progress", "off"], check=True, stdout=subprocess.DEVNULL)
    found, false, shown = 0, set(), near(os.path.join(work, "set"))
    for g in shown["groups"]:
        numbers = [(im["synset"], int(os.path.basename(im["path"])[:5])) for im in g["images"]]
        originals, copies = {n for k, n in numbers if k == "original"}, {n for k, n in numbers if k == "copy"}
        found += len(originals & copies)
        if len(originals | copies) > 1:
            false |= originals | copies
    result["kinds"][kind] = {"found": found / len(files) if change else None, "false": sorted(false), "flat": shown["flat"]}
    print(f"{kind:40} found {100 * found / len(files):7.2f} %  falsely {100 * len(false) / len(files):6.2f} %  {sorted(false)[:8]}", flush=True)
    shutil.rmtree(work)
print(json.dumps(result))
