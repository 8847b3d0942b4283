#!/usr/bin/env python3
"""How many copies 'synshard verify --near' finds, and how often it takes two images for one.

    python scripts/bench/near/copies.py SYNSHARD FOLDER WORK [IMAGES] [--parts N] [--kind NAME]...

Takes photographs out of FOLDER, of which no two are meant to be copies, makes resized, recompressed and
cropped copies of each by Pillow, one kind a run, and asks for near images of the two together. A copy
is found where it stands in a group with its original; an original is falsely taken where it stands with
another original, or a copy of one. With --parts each photograph is cut into N x N parts that have nothing in
common, and they are the originals: many times as many images, though neighbouring ones may be alike (two
parts of one sky); those that stand with parts of their own photograph alone are counted beside. The falsely taken
have Wilson's 95 % interval. Prints a table, and a JSON object as its last line. WORK is made and removed
again. Needs Pillow.
"""
import argparse, glob, io, json, math, os, random, shutil, subprocess
from PIL import Image

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("synshard")
parser.add_argument("folder")
parser.add_argument("work")
parser.add_argument("most", nargs="?", type=int, default=1000)
parser.add_argument("--parts", type=int, default=1)
parser.add_argument("--kind", action="append", help="of copies; repeatable (default: all)")
asked = parser.parse_args()
synshard, folder, work, parts = asked.synshard, asked.folder, asked.work, asked.parts
files = sorted(f for f in glob.glob(os.path.join(folder, "**", "*"), recursive=True) if f.lower().endswith((".jpg", ".jpeg")))[:asked.most]
count = len(files) * parts * parts


def originals():
    """Writes the originals, and gives their paths."""
    place = os.path.join(work, "originals")
    os.makedirs(place)
    for i, f in enumerate(files):
        if parts == 1:
            shutil.copy(f, os.path.join(place, f"{i:05}.jpg"))
            continue
        im = Image.open(f).convert("RGB")
        for j in range(parts * parts):
            x, y = j % parts, j // parts
            box = (im.width * x // parts, im.height * y // parts, im.width * (x + 1) // parts, im.height * (y + 1) // parts)
            im.crop(box).save(os.path.join(place, f"{i * parts * parts + j:05}.jpg"), quality=95)
    return [os.path.join(place, f"{i:05}.jpg") for i in range(count)]


def wilson(k, n, z=1.959964):
    centre, spread = (k + z * z / 2) / (n + z * z), z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    return max(centre - spread, 0.0), centre + spread


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
unchanged = originals()
result = {"photographs": len(files), "images": count, "kinds": {}}
for kind, change in [("originals alone", None), *((k, kinds[k]) for k in asked.kind or kinds)]:
    rng, tree = random.Random(7), os.path.join(work, "tree")
    for name in ("original", "copy") if change else ("original",):
        os.makedirs(os.path.join(tree, "train", name))
    for i, f in enumerate(unchanged):
        os.link(f, os.path.join(tree, "train", "original", f"{i:05}.jpg"))
        if change:
            change(Image.open(f).convert("RGB"), rng).save(os.path.join(tree, "train", "copy", f"{i:05}.jpg"), quality=90)
    subprocess.run([synshard, "ingest", tree, "--out", os.path.join(work, "set"), "--progress", "off"], check=True, stdout=subprocess.DEVNULL)
    found, false, within, shown = 0, set(), set(), near(os.path.join(work, "set"))
    for g in shown["groups"]:
        numbers = [(im["synset"], int(os.path.basename(im["path"])[:5])) for im in g["images"]]
        these, copies = {n for k, n in numbers if k == "original"}, {n for k, n in numbers if k == "copy"}
        found += len(these & copies)
        if len(these | copies) > 1:
            alike = within if len({n // (parts * parts) for n in these | copies}) == 1 else false
            alike |= these | copies
    low, high = wilson(len(false), count)
    result["kinds"][kind] = {"found": found / count if change else None, "false": sorted(false), "false_low": low, "false_high": high,
                             "within_a_photograph": sorted(within), "flat": shown["flat"]}
    print(f"{kind:40} found {100 * found / count:7.2f} %  falsely {100 * len(false) / count:6.3f} % ({100 * low:.3f} to {100 * high:.3f})"
          f"  within a photograph {100 * len(within) / count:6.3f} %  flat {shown['flat']}  {sorted(false)[:8]}", flush=True)
    shutil.rmtree(tree)
    shutil.rmtree(os.path.join(work, "set"))
shutil.rmtree(work)
print(json.dumps(result))
