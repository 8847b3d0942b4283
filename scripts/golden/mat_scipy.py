#!/usr/bin/env python3
"""Writes ingest/imagenet/testdata/meta_scipy.mat: a struct array like meta.mat of ILSVRC2012's development kit, by scipy's writer,
and meta_scipy.json with what is in it. Identifiers are deliberately not in the order of the synsets. Checks the kit that
`synshard sample` makes as well, if one is given."""
import json
import pathlib
import sys
import tarfile

import numpy as np
import scipy.io

ROOT = pathlib.Path(__file__).resolve().parents[2] / "ingest/imagenet/testdata"
ROWS = [
    (1, "n02391049", "zebra", "any of several fleet striped equines", 0, 1300),
    (2, "n01440764", "tench, Tinca tinca", "freshwater dace-like game fish", 0, 732),
    (3, "n09472597", "volcano", "a mountain formed by volcanic material", 0, 1047),
    (1001, "n02374149", "equine, equid", "hoofed mammals having slender legs", 1, 1300),
]


def main():
    kind = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object), ("gloss", object), ("num_children", object),
            ("children", object), ("wordnet_height", object), ("num_train_images", object)]
    array = np.zeros((len(ROWS), 1), dtype=kind)
    for i, (number, wnid, words, gloss, children, images) in enumerate(ROWS):
        array[i, 0] = (float(number), wnid, words, gloss, float(children), np.arange(children, dtype=float), 0.0, float(images))
    ROOT.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(ROOT / "meta_scipy.mat", {"synsets": array, "other": np.arange(6.0)}, do_compression=True)
    keys = ("ID", "WNID", "Words", "Gloss", "NumChildren", "TrainImages")
    (ROOT / "meta_scipy.json").write_text(json.dumps([dict(zip(keys, r)) for r in ROWS], indent=1) + "\n")
    if len(sys.argv) > 1:
        with tarfile.open(sys.argv[1]) as kit:
            member = next(m for m in kit.getmembers() if m.name.endswith("meta.mat"))
            synsets = scipy.io.loadmat(kit.extractfile(member), squeeze_me=True)["synsets"]
            for s in synsets:
                print(int(s["ILSVRC2012_ID"]), s["WNID"], s["words"], int(s["num_children"]), int(s["num_train_images"]))


main()
