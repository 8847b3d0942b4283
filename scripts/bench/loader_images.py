#!/usr/bin/env python3
"""Images as ImageNet's are for benchmarks: 500 x 375, 4:2:0, about 110 kB each, in a folder a class.

    synshard sample --out sample && python scripts/bench/loader_images.py sample images [count]

The drawn images of the sample get the fine grain of photographs (noise whose power falls with frequency), as much as
brings each to its size at quality 90."""
import io, os, sys, tarfile
import numpy as np
from PIL import Image

sample, out = sys.argv[1], sys.argv[2]
count = int(sys.argv[3]) if len(sys.argv) > 3 else 400
rng = np.random.default_rng(1)


def grain(h, w):
    fy, fx = np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w)[None]
    f = np.sqrt(fx * fx + fy * fy)
    f[0, 0] = 1
    spectrum = (rng.normal(size=(h, w)) + 1j * rng.normal(size=(h, w))) / f**0.5
    n = np.real(np.fft.ifft2(spectrum))
    return n / n.std()


def encode(base, noise, strength):
    a = np.clip(base + strength * noise, 0, 255).astype(np.uint8)
    b = io.BytesIO()
    Image.fromarray(a).save(b, "JPEG", quality=90, subsampling=2)
    return b.getvalue()


with tarfile.open(os.path.join(sample, "ILSVRC2012_img_train.tar")) as outer:
    members = outer.getmembers()
    each = -(-count // len(members))
    for m in members:
        wnid = m.name.removesuffix(".tar")
        os.makedirs(os.path.join(out, wnid), exist_ok=True)
        with tarfile.open(fileobj=outer.extractfile(m)) as inner:
            for p in inner.getmembers()[:each]:
                im = Image.open(inner.extractfile(p)).convert("RGB").resize((500, 375))
                base = np.asarray(im, float)
                noise = grain(375, 500)[..., None] + 0.3 * np.stack([grain(375, 500) for _ in range(3)], -1)
                want, lo, hi = rng.normal(110e3, 20e3), 0.0, 60.0
                for _ in range(7):
                    mid = (lo + hi) / 2
                    data = encode(base, noise, mid)
                    lo, hi = (mid, hi) if len(data) < want else (lo, mid)
                open(os.path.join(out, wnid, p.name), "wb").write(data)
