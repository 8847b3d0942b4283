#!/usr/bin/env python3
"""One small tree as the archivers that people use pack it, for source/testdata/archives.

    python scripts/golden/source_archives.py source/testdata/archives

Needs GNU tar, bsdtar (libarchive-tools), Info-ZIP's zip, gzip, bzip2, xz and zstd. truth.json holds the tree: for
each name its bytes' SHA-256 and, of links, what they lead to.
"""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

out = os.path.abspath(sys.argv[1])
shutil.rmtree(out, ignore_errors=True)
os.makedirs(out)
work = tempfile.mkdtemp()
tree = os.path.join(work, "tree")
LONG = "n02/" + "a-directory-of-a-long-name/" * 6 + "an-image-whose-name-is-long-as-well-%s.jpg" % ("x" * 60)
FILES = {
    "n01/a.jpg": b"one",
    "n01/empty.jpg": b"",
    "n01/been there.jpg": b"spaces",
    "n02/\u00e9t\u00e9.jpg": "non-ASCII".encode(),
    "n02/block.jpg": b"b" * 512,
    LONG: b"long",
}
HOLES = "n03/holes.bmp"
LINKS = {"n01/soft.jpg": "../n02/block.jpg", "n04": "n01"}
HARD = {"n01/hard.jpg": "n01/a.jpg"}


def write(name, data):
    path = os.path.join(tree, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


for name, data in FILES.items():
    write(name, data)
write(HOLES, b"BM" + bytes(30))
with open(os.path.join(tree, HOLES), "r+b") as f:  # three runs of data and holes between them, one at the end
    for at in 65536, 131072:
        f.seek(at)
        f.write(b"data" * 200)
    f.truncate(200000)
for name, to in LINKS.items():
    os.symlink(to, os.path.join(tree, name))
for name, to in HARD.items():
    os.link(os.path.join(tree, to), os.path.join(tree, name))

truth = {}
for name in [*FILES, HOLES, *HARD]:
    with open(os.path.join(tree, name), "rb") as f:
        truth[name] = hashlib.sha256(f.read()).hexdigest()
json.dump({"files": truth, "links": LINKS, "holes": HOLES}, open(f"{out}/truth.json", "w"), indent=1, sort_keys=True)
SHORT = ["n01", "n03", "n04", "n02/\u00e9t\u00e9.jpg", "n02/block.jpg"]  # what ustar and v7 can hold


def run(*args, **kw):
    subprocess.run(args, cwd=tree, check=True, stdout=kw.pop("stdout", subprocess.DEVNULL), **kw)


def packed(name):
    """A golden of tar is kept compressed where it is large for what it says."""
    subprocess.run(["gzip", "-9n", f"{out}/{name}"], check=True)


for fmt in "gnu", "oldgnu", "posix":
    run("tar", f"--format={fmt}", "-cf", f"{out}/gnutar-{fmt}.tar", ".")
for fmt in "ustar", "v7":
    run("tar", f"--format={fmt}", "-cf", f"{out}/gnutar-{fmt}.tar", *SHORT)
run("tar", "--format=gnu", "-S", "--hole-detection=raw", "-cf", f"{out}/sparse-gnu.tar", ".")
for version in "0.0", "0.1", "1.0":
    run("tar", "--format=posix", "-S", "--hole-detection=raw", f"--sparse-version={version}", "-cf", f"{out}/sparse-pax-{version}.tar", ".")
for fmt in "pax", "gnutar":
    run("bsdtar", f"--format={fmt}", "-cf", f"{out}/bsdtar-{fmt}.tar", ".")
run("bsdtar", "--format=ustar", "-cf", f"{out}/bsdtar-ustar.tar", *SHORT)
for fmt, name in (tarfile.PAX_FORMAT, "pax"), (tarfile.GNU_FORMAT, "gnu"):
    with tarfile.open(f"{out}/python-{name}.tar", "w", format=fmt) as t:
        t.add(tree, arcname=".")
# Compressed, and two archives one behind the other in each.
for tool, ext in ("gzip", "gz"), ("bzip2", "bz2"), ("xz", "xz"), ("zstd", "zst"):
    with open(f"{out}/two.tar.{ext}", "wb") as f:
        for part in ["n01", "n02"], ["n03", "n04"]:
            tar = subprocess.run(["tar", "-cf", "-", *part], cwd=tree, check=True, stdout=subprocess.PIPE).stdout
            f.write(subprocess.run([tool, "-c"], input=tar, check=True, stdout=subprocess.PIPE).stdout)
for name in sorted(os.listdir(out)):
    if name.endswith(".tar"):
        packed(name)

# Zips: links kept, a pipe's data descriptors, zip64, other compressions, no UTF-8 flag.
run("zip", "-qry", f"{out}/infozip.zip", ".")
with open(f"{out}/infozip-pipe.zip", "wb") as f:
    run("sh", "-c", "zip -qry - . | cat", stdout=f)
run("zip", "-qry", "-Z", "bzip2", f"{out}/infozip-bzip2.zip", ".")
run("zip", "-qry", "-fz", f"{out}/infozip-zip64.zip", ".")
run("zip", "-qr", "-P", "secret", f"{out}/encrypted.zip", "n01/a.jpg")
run("bsdtar", "--format=zip", "-cf", f"{out}/bsdtar.zip", ".")
for method, name in (zipfile.ZIP_STORED, "stored"), (zipfile.ZIP_DEFLATED, "deflated"), (zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "lzma"):
    with zipfile.ZipFile(f"{out}/python-{name}.zip", "w", method) as z:
        for file in truth:
            if name == "stored" and file == HOLES:
                continue  # it would be large
            with z.open(zipfile.ZipInfo(file), "w", force_zip64=True) if name == "stored" else z.open(file, "w") as f:
                f.write(open(os.path.join(tree, file), "rb").read())
with open(f"{out}/prefixed.zip", "wb") as f:
    f.write(b"#!/bin/sh\nexit 0\n" + open(f"{out}/python-deflated.zip", "rb").read())
shutil.rmtree(work)
