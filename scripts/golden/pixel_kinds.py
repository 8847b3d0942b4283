#!/usr/bin/env python3
"""Golden images of the kinds that are seldom met: WebP, TIFF, BMP and GIF in their variants, CMYK JPEG without Adobe's
marker, PNG without its last chunk.

    python scripts/golden/pixel_kinds.py pixel/testdata

Each kinds/NAME stands beside what Pillow makes of it, converted to RGB, in NAME.rgb.png. unsupported/NAME are valid files
of kinds that are not decoded. Needs Pillow and NumPy."""
import io, os, struct, sys

import numpy as np
from PIL import Image

out = sys.argv[1]
for d in ("kinds", "unsupported"):
    os.makedirs(os.path.join(out, d), exist_ok=True)
rng = np.random.default_rng(23)


def smooth(w, h, channels=3):
    y, x = np.mgrid[0:h, 0:w].astype(float)
    planes = [128 + 80 * np.sin(x / (5 + c) + c) * np.cos(y / (8 - c)) + 30 * ((x // 9 + y // 6) % 2) + rng.normal(0, 4, (h, w)) for c in range(channels)]
    a = np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)
    return a[..., 0] if channels == 1 else a


def pillow(data):
    im = Image.open(io.BytesIO(data))
    im.load()
    return Image.fromarray(np.array(im.convert("RGB")))  # without what the file says of transparency


def save(name, data):
    open(os.path.join(out, "kinds", name), "wb").write(data)
    pillow(data).save(os.path.join(out, "kinds", name + ".rgb.png"), optimize=True)


def unsupported(name, data, valid=True):
    if valid:
        pillow(data)
    open(os.path.join(out, "unsupported", name), "wb").write(data)


def encode(im, fmt, **kw):
    b = io.BytesIO()
    im.save(b, fmt, **kw)
    return b.getvalue()


rgb, grey = Image.fromarray(smooth(45, 33)), Image.fromarray(smooth(37, 29, 1))
bits, palette = grey.convert("1"), rgb.quantize(19)

# JPEG: four inks without Adobe's marker, which Pillow inverts all the same.
inks = encode(Image.fromarray(smooth(35, 27, 4), "CMYK"), "JPEG", quality=92)
at = inks.index(b"\xff\xee")
save("cmyk_plain.jpg", inks[:at] + inks[at + 2 + struct.unpack(">H", inks[at + 2 : at + 4])[0] :])

# WebP.
save("lossy.webp", encode(rgb, "WEBP", quality=80))
save("lossy_low.webp", encode(rgb, "WEBP", quality=10))
save("lossless.webp", encode(rgb, "WEBP", lossless=True))
frames = [Image.fromarray(smooth(30, 22)) for _ in range(3)]
save("animated.webp", encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], quality=90))

# PNG that ends before IEND.
png = encode(rgb, "PNG")
save("no_end.png", png[: png.rindex(b"IEND") - 4])

# TIFF.
for name, im in (("bilevel", bits), ("grey", grey), ("rgb", rgb), ("palette", palette)):
    for compression in (None, "packbits", "tiff_lzw", "tiff_adobe_deflate") + (("group3", "group4") if name == "bilevel" else ()):
        save(f"{name}_{(compression or 'raw').removeprefix('tiff_')}.tif", encode(im, "TIFF", compression=compression))


def tiff(order, tags, strips):
    """A TIFF of one image: tags {number: (type, values)}, image data as strips."""
    sizes = {1: "B", 3: "H", 4: "I"}
    body, entries, where = b"", [], 8
    offsets = []
    for s in strips:
        offsets.append(where + len(body))
        body += s
    tags = dict(tags)
    tags[273], tags[279] = (4, offsets), (4, [len(s) for s in strips])
    for number in sorted(tags):
        kind, values = tags[number]
        packed = struct.pack(order + sizes[kind] * len(values), *values)
        if len(packed) > 4:
            value = struct.pack(order + "I", where + len(body))
            body += packed
        else:
            value = packed.ljust(4, b"\0")
        entries.append(struct.pack(order + "HHI", number, kind, len(values)) + value)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, where + len(body))
    return head + body + struct.pack(order + "H", len(entries)) + b"".join(entries) + struct.pack(order + "I", 0)


def plain(w, h, bits, photometric, data, order="<", **more):
    tags = {256: (4, [w]), 257: (4, [h]), 258: (3, bits), 259: (3, [1]), 262: (3, [photometric]), 277: (3, [len(bits)]), 278: (4, [h])}
    return tiff(order, tags | {int(k[1:]): v for k, v in more.items()}, [data])


g = np.array(grey)
h, w = g.shape
packed = np.packbits(g > 128, axis=1).tobytes()
save("white_is_zero.tif", plain(w, h, [1], 0, packed))
save("black_is_zero.tif", plain(w, h, [1], 1, packed))
save("grey_white_is_zero.tif", plain(w, h, [8], 0, g.tobytes()))
save("big_endian.tif", plain(45, 33, [8, 8, 8], 2, np.array(rgb).tobytes(), ">"))
for name, photometric in (("group4_black_is_zero", 1), ("group4_white_is_zero", 0)):
    b = bytearray(encode(bits, "TIFF", compression="group4"))
    ifd = struct.unpack("<I", b[4:8])[0]
    for k in range(struct.unpack("<H", b[ifd : ifd + 2])[0]):
        e = ifd + 2 + 12 * k
        if struct.unpack("<H", b[e : e + 2])[0] == 262:
            b[e + 8 : e + 10] = struct.pack("<H", photometric)
    save(name + ".tif", bytes(b))
deep = (g.astype(np.uint16) * 257).astype("<u2")
unsupported("float.tif", plain(w, h, [32], 1, g.astype("<f4").tobytes(), t339=(3, [3])))
unsupported("cmyk.tif", encode(Image.fromarray(smooth(20, 15, 4), "CMYK"), "TIFF"))
unsupported("jpeg.tif", encode(rgb, "TIFF", compression="jpeg"))
unsupported("big.tif", encode(rgb, "TIFF", big_tiff=True))


# BMP, written by hand: Pillow writes few of the kinds that it reads.
def bmp(w, h, depth, rows, compression=0, colours=b"", masks=b"", core=False, used=0):
    if core:
        head = struct.pack("<IHHHH", 12, w, h, 1, depth)
    else:
        head = struct.pack("<IiiHHIIiiII", 40, w, h, 1, depth, compression, len(rows), 2835, 2835, used, 0)
    at = 14 + len(head) + len(masks) + len(colours)
    return b"BM" + struct.pack("<IHHI", at + len(rows), 0, 0, at) + head + masks + colours + rows


def padded(a):
    """Rows from the bottom, each filled up to four bytes."""
    return b"".join(r.tobytes().ljust(-(-r.nbytes // 4) * 4, b"\0") for r in a[::-1])


c = np.array(rgb)
h, w = c.shape[:2]
five = (c >> 3).astype("<u2")
v555 = ((five[..., 0] << 10) | (five[..., 1] << 5) | five[..., 2]).astype("<u2")
v565 = ((five[..., 0] << 11) | ((c[..., 1] >> 2).astype("<u2") << 5) | five[..., 2]).astype("<u2")
save("555.bmp", bmp(w, h, 16, padded(v555)))
save("565.bmp", bmp(w, h, 16, padded(v565), 3, masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F)))
save("555_masks.bmp", bmp(w, h, 16, padded(v555), 3, masks=struct.pack("<III", 0x7C00, 0x3E0, 0x1F)))
bgr = np.ascontiguousarray(c[..., ::-1])
save("24.bmp", bmp(w, h, 24, padded(bgr)))
save("24_core.bmp", bmp(w, h, 24, padded(bgr), core=True))
down = b"".join(r.tobytes().ljust(-(-r.nbytes // 4) * 4, b"\0") for r in bgr)
save("24_from_the_top.bmp", bmp(w, -h, 24, down))
bgrx = np.concatenate([bgr, np.zeros((h, w, 1), np.uint8)], -1)
save("32.bmp", bmp(w, h, 32, padded(bgrx)))
save("32_masks.bmp", bmp(w, h, 32, padded(bgrx), 3, masks=struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)))
xbgr = np.concatenate([np.zeros((h, w, 1), np.uint8), bgr], -1)
save("32_other_masks.bmp", bmp(w, h, 32, padded(xbgr), 3, masks=struct.pack("<III", 0xFF000000, 0xFF0000, 0xFF00)))
index = np.array(palette).astype(np.uint8)
table = np.array(palette.getpalette()[: 19 * 3], np.uint8).reshape(-1, 3)
quads = np.concatenate([table[:, ::-1], np.zeros((19, 1), np.uint8)], -1).tobytes()
save("8.bmp", bmp(w, h, 8, padded(index), colours=quads, used=19))
triples = np.concatenate([table[:, ::-1], np.zeros((256 - 19, 3), np.uint8)]).tobytes()
save("8_core.bmp", bmp(w, h, 8, padded(index), colours=triples, core=True))
low = index % 16
nibbles = np.zeros((h, (w + 1) // 2), np.uint8)
nibbles |= low[:, 0::2] << 4
nibbles[:, : w // 2] |= low[:, 1::2]
save("4.bmp", bmp(w, h, 4, padded(nibbles), colours=quads[: 16 * 4], used=16))
one = np.packbits(index % 2, axis=1)
save("1.bmp", bmp(w, h, 1, padded(one), colours=quads[:8], used=2))
save("1_grey.bmp", bmp(w, h, 1, padded(one), colours=bytes([0, 0, 0, 0, 255, 255, 255, 0]), used=2))


def rle8(a):
    """Runs, and absolute pieces where neighbours differ, with an end of line a row."""
    data = b""
    for r in a[::-1]:
        k = 0
        while k < len(r):
            n = 1
            while k + n < len(r) and n < 255 and r[k + n] == r[k]:
                n += 1
            if n == 1 and k + 5 < len(r):
                piece = r[k : k + 5].tobytes()
                data += bytes([0, 5]) + piece + b"\0"
                k += 5
            else:
                data += bytes([n, r[k]])
                k += n
        data += b"\0\0"
    return data + b"\0\1"


save("rle8.bmp", bmp(w, h, 8, rle8(index), 1, colours=quads, used=19))
save("rle4.bmp", bmp(w, h, 4, b"".join(b"".join(bytes([2, int(r[k]) << 4 | int(r[k + 1])]) for k in range(0, w - 1, 2)) + bytes([1, int(r[w - 1]) << 4]) + b"\0\0" for r in low[::-1]) + b"\0\1",
                     2, colours=quads[: 16 * 4], used=16))

# GIF: of an animation the first frame; interlaced; a frame smaller than the canvas.
moving = [Image.fromarray(smooth(26, 19)).quantize(25) for _ in range(3)]
save("animated.gif", encode(moving[0], "GIF", save_all=True, append_images=moving[1:]))
save("interlaced.gif", encode(moving[0], "GIF", interlace=1))
small = bytearray(encode(moving[0], "GIF", interlace=0))
small[6:10] = struct.pack("<HH", 40, 30)  # the screen grows, the frame stays
save("small_frame.gif", bytes(small))
placed = bytearray(small)
at = placed.index(b",", 13 + 3 * 2 ** ((placed[10] & 7) + 1))
placed[at + 1 : at + 5] = struct.pack("<HH", 7, 5)
save("placed_frame.gif", bytes(placed))

# Transparency: Pillow's conversion takes colours as they are stored.
seen = smooth(34, 26, 4)
seen[..., 3] = np.where(seen[..., 0] > 170, 0, np.where(seen[..., 1] > 150, 255, seen[..., 3]))
rgba = Image.fromarray(seen, "RGBA")
save("alpha_rgb.png", encode(rgba, "PNG"))
save("alpha_lossy.webp", encode(rgba, "WEBP", quality=85))
save("alpha_lossless.webp", encode(rgba, "WEBP", lossless=True, exact=True))
save("alpha_animated.webp", encode(rgba, "WEBP", save_all=True, lossless=True, exact=True, append_images=[rgba.transpose(Image.Transpose.ROTATE_180)]))
glass = moving[0].copy()
save("alpha_palette.gif", encode(glass, "GIF", transparency=7))
for name, where in (("alpha_small.gif", (0, 0)), ("alpha_placed.gif", (6, 4))):
    b = bytearray(encode(glass, "GIF", transparency=7, interlace=0))
    b[6:10] = struct.pack("<HH", 40, 30)
    at = b.index(b",", 13 + 3 * 2 ** ((b[10] & 7) + 1))
    b[at + 1 : at + 5] = struct.pack("<HH", *where)
    save(name, bytes(b))
n, m = seen.shape[1], seen.shape[0]
deep4 = seen.astype("<u2") * 251 + 77
for meaning, name in ((1, "associated"), (2, "unassociated")):
    save(f"alpha_{name}.tif", plain(n, m, [8] * 4, 2, seen.tobytes(), t338=(3, [meaning])))
    save(f"alpha_{name}16.tif", plain(n, m, [16] * 4, 2, deep4.tobytes(), t338=(3, [meaning])))
    save(f"alpha_{name}16_big_endian.tif", plain(n, m, [16] * 4, 2, deep4.astype(">u2").tobytes(), ">", t338=(3, [meaning])))
bgra = np.ascontiguousarray(seen[..., [2, 1, 0, 3]])
rows4 = bgra[::-1].tobytes()
head = struct.pack("<IiiHHIIiiII", 56, n, m, 1, 32, 3, len(rows4), 2835, 2835, 0, 0) + struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
save("alpha_masks.bmp", b"BM" + struct.pack("<IHHI", 14 + len(head) + len(rows4), 0, 0, 14 + len(head)) + head + rows4)
save("alpha_unsaid.bmp", bmp(n, m, 32, rows4))

# Greys of 16 bits, which Pillow cuts off at 255; TIFF alone is turned upright; predictors count where they are compressed.
deep = g.astype("<u2") * 3
h, w = g.shape
for photometric, name in ((0, "white"), (1, "black")):
    save(f"grey16_{name}_is_zero.tif", plain(w, h, [16], photometric, deep.tobytes()))
save("grey16_big_endian.tif", plain(w, h, [16], 1, deep.astype(">u2").tobytes(), ">"))
unsupported("grey16_big_endian_white.tif", plain(w, h, [16], 0, deep.astype(">u2").tobytes(), ">"), valid=False)
h, w = c.shape[:2]
for orientation in range(2, 9):
    save(f"turned_{orientation}.tif", plain(w, h, [8] * 3, 2, c.tobytes(), t274=(3, [orientation])))
save("predictor_raw.tif", plain(w, h, [8] * 3, 2, c.tobytes(), t317=(3, [2])))
save("predictor_lzw.tif", encode(rgb, "TIFF", compression="tiff_lzw", tiffinfo={317: 2}))
reverse = np.array([int(f"{i:08b}"[::-1], 2) for i in range(256)], np.uint8)
unsupported("reverse.tif", plain(w, h, [8] * 3, 2, reverse[c].tobytes(), t266=(3, [2])))
planes = plain(w, h, [8] * 3, 2, np.moveaxis(c, -1, 0).tobytes(), t284=(3, [2]))
unsupported("planes.tif", planes, valid=False)
unsupported("unnamed.tif", plain(n, m, [8] * 4, 2, seen.tobytes()))
unsupported("more.tif", plain(n, m, [8] * 4, 2, seen.tobytes(), t338=(3, [0])))
for name, marker, depth in (("lossless", 0xC3, 8), ("hierarchical", 0xC5, 8), ("ls", 0xF7, 8), ("12_bits", 0xC0, 12)):
    b = bytearray(encode(rgb, "JPEG"))
    at = b.index(b"\xff\xc0")
    b[at + 1], b[at + 4] = marker, depth
    unsupported(name + ".jpg", bytes(b), valid=False)  # by its header
