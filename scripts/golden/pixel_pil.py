#!/usr/bin/env python3
"""Golden data for package pixel, made with Pillow and torchvision.

    python scripts/golden/pixel_pil.py pixel/testdata

Images of every kind that is decoded (kinds/NAME with what Pillow makes of it in NAME.rgb.png), and resized crops of
lossless images and of one JPEG, as torchvision's Resize and CenterCrop on Pillow images make them (resize/)."""
import io, json, os, struct, sys
import numpy as np
import PIL
from PIL import Image
import torchvision
from torchvision.transforms import v2 as T
from torchvision.transforms import InterpolationMode as IM

out = sys.argv[1]
for d in ("kinds", "resize"):
    os.makedirs(os.path.join(out, d), exist_ok=True)
rng = np.random.default_rng(7)


def image(w, h, channels=3):
    """Smooth colours, hard edges and fine noise: what resizing and chroma upsampling can get wrong."""
    y, x = np.mgrid[0:h, 0:w].astype(float)
    planes = []
    for c in range(channels):
        p = 128 + 90 * np.sin(x / (5 + 3 * c) + c) * np.cos(y / (9 - 2 * c))
        p += 60 * (((x // 11 + y // 7) % 2) - 0.5) + rng.normal(0, 9, (h, w))
        planes.append(p)
    a = np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)
    return a[..., 0] if channels == 1 else a


def save(name, data, rgb):
    open(os.path.join(out, "kinds", name), "wb").write(data)
    Image.fromarray(rgb).save(os.path.join(out, "kinds", name + ".rgb.png"), optimize=True)


def encode(im, fmt, **kw):
    b = io.BytesIO()
    im.save(b, fmt, **kw)
    return b.getvalue()


def pillow(data):
    im = Image.open(io.BytesIO(data))
    im.load()
    return np.array(im.convert("RGB"))


def jpeg(name, im, change=lambda b: b, **kw):
    data = change(encode(im, "JPEG", quality=88, **kw))
    save(name, data, pillow(data))
    return data


rgb = Image.fromarray(image(75, 53))
base = jpeg("420.jpg", rgb, subsampling=2)
jpeg("422.jpg", rgb, subsampling=1)
jpeg("444.jpg", rgb, subsampling=0)
jpeg("progressive.jpg", rgb, progressive=True)
jpeg("restart.jpg", rgb, restart_marker_blocks=3)
jpeg("adobe_rgb.jpg", rgb, keep_rgb=True)
jpeg("grey.jpg", Image.fromarray(image(40, 61, 1)))
cmyk = Image.fromarray(image(45, 37, 4), "CMYK")
inks = jpeg("cmyk.jpg", cmyk)


def transform_2(b):
    """Says in Adobe's marker that the four components are YCCK."""
    at = b.index(b"Adobe")
    return b[: at + 11] + b"\x02" + b[at + 12 :]


jpeg("ycck.jpg", cmyk, transform_2)
exif = b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\x01\x02" * 20
jpeg("broken_exif.jpg", rgb, lambda b: b[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + b[2:])
jpeg("trailing.jpg", rgb, lambda b: b + bytes(range(256)) * 3)
jpeg("one_pixel.jpg", Image.fromarray(image(1, 1)))


def sampling(name, h, v):
    """Samplings that Pillow reads but does not write: made by cjpeg, where it is installed."""
    import subprocess, tempfile
    with tempfile.NamedTemporaryFile(suffix=".ppm") as f:
        rgb.save(f.name)
        data = subprocess.run(["cjpeg", "-quality", "88", "-sample", f"{h}x{v}", f.name], check=True, capture_output=True).stdout
    save(name, data, pillow(data))


import shutil

if shutil.which("cjpeg"):
    sampling("440.jpg", 1, 2)
    sampling("411.jpg", 4, 1)
    sampling("410.jpg", 4, 2)
save("rgb.png", encode(rgb, "PNG"), np.array(rgb))
a = image(33, 29, 4)
over = lambda bg: ((a[..., :3].astype(int) * a[..., 3:] + bg * (255 - a[..., 3:].astype(int))) / 255.0 + 0.5).astype(np.uint8)
save("rgba.png", encode(Image.fromarray(a, "RGBA"), "PNG"), a[..., :3])
for under, name in ((0, "black"), (255, "white")):
    Image.fromarray(over(under)).save(os.path.join(out, "kinds", f"rgba.png.{name}.png"))
p = Image.fromarray(image(31, 27)).quantize(17)
save("palette.png", encode(p, "PNG"), np.array(p.convert("RGB")))
g = image(23, 19, 1)
save("grey.png", encode(Image.fromarray(g), "PNG"), np.array(Image.fromarray(g).convert("RGB")))
deep = (g.astype(np.uint16) << 8) | rng.integers(0, 256, g.shape).astype(np.uint16)
save("grey16.png", encode(Image.fromarray(deep), "PNG"), np.repeat(np.minimum(deep, 255).astype(np.uint8)[..., None], 3, 2))
bits = Image.fromarray(g > 128)
save("bilevel.png", encode(bits, "PNG"), np.array(bits.convert("RGB")))
save("rgb.bmp", encode(rgb.crop((0, 0, 20, 15)), "BMP"), np.array(rgb)[:15, :20])
gif = Image.fromarray(image(21, 17)).quantize(30)
save("palette.gif", encode(gif, "GIF"), np.array(gif.convert("RGB")))

cases = []
for w, h in [(100, 75), (75, 100), (61, 61), (150, 31), (20, 26)]:
    src = f"{w}x{h}.png"
    im = Image.fromarray(image(w, h))
    im.save(os.path.join(out, "resize", src), optimize=True)
    for resize, size in [(36, 30), (64, 59)]:
        for name, mode in [("bilinear", IM.BILINEAR), ("bicubic", IM.BICUBIC)]:
            for square in (False, True):
                want = T.CenterCrop(size)(T.Resize((resize, resize) if square else resize, mode)(im))
                file = f"{w}x{h}_{resize}_{size}_{name}{'_square' if square else ''}.png"
                want.save(os.path.join(out, "resize", file), optimize=True)
                cases.append(dict(source=src, resize=resize, size=size, interpolation=name, square=square, want=file))
photo = Image.fromarray(image(200, 150))
data = encode(photo, "JPEG", quality=90)
open(os.path.join(out, "resize", "200x150.jpg"), "wb").write(data)
want = T.CenterCrop(72)(T.Resize(82, IM.BILINEAR)(Image.open(io.BytesIO(data)).convert("RGB")))
want.save(os.path.join(out, "resize", "200x150_82_72_bilinear.png"), optimize=True)
cases.append(dict(source="200x150.jpg", resize=82, size=72, interpolation="bilinear", square=False, want="200x150_82_72_bilinear.png"))
json.dump(dict(made_with=f"Pillow {PIL.__version__}, torchvision {torchvision.__version__}", cases=cases),
          open(os.path.join(out, "resize", "cases.json"), "w"), indent=1)
