#!/usr/bin/env python3
"""Golden PNGs of the kinds that Pillow reads but does not write: 16 bits a channel, grey with alpha, transparent colours
and palettes, Adam7's interlacing.

    python scripts/golden/pixel_png.py pixel/testdata

Each kinds/NAME stands beside what Pillow makes of it, converted to RGB, in NAME.rgb.png; transparent ones, named alpha_*,
also over black and over white in NAME.black.png and NAME.white.png."""
import io, os, struct, sys, zlib

import numpy as np
from PIL import Image

out = os.path.join(sys.argv[1], "kinds")
rng = np.random.default_rng(11)
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]  # x, y, steps


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def rows(a):
    """Scan lines without a filter; samples of 16 bits have the high byte first."""
    flat = a.astype(">u2" if a.dtype == np.uint16 else np.uint8)
    return b"".join(b"\0" + flat[y].tobytes() for y in range(flat.shape[0]))


def png(a, colour, interlaced=False, extra=()):
    h, w = a.shape[:2]
    head = struct.pack(">IIBBBBB", w, h, 16 if a.dtype == np.uint16 else 8, colour, 0, 0, int(interlaced))
    passes = [a[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [a]
    data = b"".join(rows(p) for p in passes if p.size)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunk(k, v) for k, v in extra) + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


def smooth(w, h, channels, bits):
    y, x = np.mgrid[0:h, 0:w].astype(float)
    a = np.stack([0.5 + 0.45 * np.sin(x / (4 + c) + c) * np.cos(y / (6 - c)) for c in range(channels)], -1)
    a = np.clip(a + rng.normal(0, 0.02, a.shape), 0, 1)
    return (a * (2**bits - 1)).astype(np.uint16 if bits == 16 else np.uint8)


def save(name, data):
    open(os.path.join(out, name), "wb").write(data)
    im = Image.open(io.BytesIO(data))
    im.load()
    Image.fromarray(np.array(im.convert("RGB"))).save(os.path.join(out, name + ".rgb.png"), optimize=True)
    if not name.startswith("alpha_"):
        return
    rgba = np.array(im.convert("RGBA")).astype(float)
    for under, suffix in ((0, ".black.png"), (255, ".white.png")):
        a = rgba[..., 3:] / 255
        flat = np.floor(rgba[..., :3] * a + under * (1 - a) + 0.5).astype(np.uint8)
        Image.fromarray(flat).save(os.path.join(out, name + suffix), optimize=True)


GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
save("rgb16.png", png(smooth(33, 21, 3, 16), RGB))
save("rgb_interlaced.png", png(smooth(29, 23, 3, 8), RGB, interlaced=True))
save("rgb16_interlaced.png", png(smooth(19, 17, 3, 16), RGB, interlaced=True))
save("alpha_rgb16.png", png(smooth(27, 22, 4, 16), RGB_ALPHA))
save("alpha_grey.png", png(smooth(31, 18, 2, 8), GREY_ALPHA))
save("alpha_grey16.png", png(smooth(25, 20, 2, 16), GREY_ALPHA))
flat = smooth(24, 24, 3, 8) // 64 * 64
save("alpha_colour.png", png(flat, RGB, extra=[(b"tRNS", struct.pack(">HHH", *[int(v) for v in flat[3, 5]]))]))
grey = smooth(24, 24, 1, 8) // 32 * 32
save("alpha_grey_level.png", png(grey, GREY, extra=[(b"tRNS", struct.pack(">H", int(grey[2, 7, 0])))]))
index = rng.integers(0, 16, (20, 26, 1)).astype(np.uint8)
colours = rng.integers(0, 256, (16, 3)).astype(np.uint8)
save("alpha_palette.png", png(index, PALETTE, extra=[(b"PLTE", colours.tobytes()), (b"tRNS", rng.integers(0, 256, 12).astype(np.uint8).tobytes())]))
deep = smooth(24, 24, 1, 16) // 100
save("grey16_level.png", png(deep, GREY, extra=[(b"tRNS", struct.pack(">H", int(deep[2, 7, 0])))]))
