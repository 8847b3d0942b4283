#!/usr/bin/env python3
"""Golden perceptual hashes, by ImageHash (4.3) and SciPy.

    python scripts/golden/near_imagehash.py shard/near/testdata/imagehash.json

Grey images of 48 x 48 pixels, noise of several scales, with imagehash.phash of 8 x 8 and 16 x 16 frequencies,
as rows of bits; of 44 x 44, by the same formula over SciPy's transform, as no hash size of the library has that.
"""
import json, sys
import imagehash, numpy as np, scipy.fftpack
from PIL import Image

rng = np.random.default_rng(3)


def noise(n):
    a = sum(np.kron(rng.normal(0, s, (n // s + 1, n // s + 1)), np.ones((s, s)))[:n, :n] for s in (1, 3, 8, 16))
    return np.clip(128 + 2.2 * a, 0, 255).astype(np.uint8)


def bits(h):
    return "".join("01"[int(v)] for v in np.asarray(h).flatten())


def scipys(a, size):
    d = scipy.fftpack.dct(scipy.fftpack.dct(a.astype(float), axis=0), axis=1)[:size, :size]
    return d > np.median(d)


cases = []
for n in (48, 48, 48, 44, 44):
    a = noise(n)
    im = Image.fromarray(a)
    case = {"side": n, "grey": a.flatten().tolist()}
    if n == 48:
        case["low"], case["high"] = bits(imagehash.phash(im, 8, 6).hash), bits(imagehash.phash(im, 16, 3).hash)
        assert case["low"] == bits(scipys(a, 8)) and case["high"] == bits(scipys(a, 16))
    else:
        case["low"], case["high"] = bits(scipys(a, 8)), bits(scipys(a, 16))
    cases.append(case)
json.dump(cases, open(sys.argv[1], "w"))
