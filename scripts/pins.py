#!/usr/bin/env python3
"""Makes a line of setup/pins.txt: the sha256 of a wheel's list of files (RECORD).

usage: pins.py GROUP NAME VERSION MACHINE [INDEX]

INDEX is a package index's simple API; without it the one that pip is set to by
PIP_INDEX_URL, or pip's own. Standard library and pip only.
"""
import hashlib
import io
import json
import os
import re
import sys
import urllib.parse
import urllib.request
import zipfile


def get(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=120) as r:
        return r.read(), r.headers, r.url


class Remote(io.RawIOBase):
    """A file elsewhere, read by ranges."""

    def __init__(self, url):
        self.url, self.at = url, 0
        self.size = int(get(url, Range="bytes=0-0")[1]["Content-Range"].split("/")[1])

    def seekable(self):
        return True

    def readable(self):
        return True

    def seek(self, to, whence=0):
        self.at = to + (0, self.at, self.size)[whence]
        return self.at

    def tell(self):
        return self.at

    def readinto(self, b):
        n = min(len(b), self.size - self.at)
        if n > 0:
            b[:n] = get(self.url, Range=f"bytes={self.at}-{self.at + n - 1}")[0]
            self.at += n
        return n


def wheel(index, name, version, machine):
    page, _, base = get(f"{index.rstrip('/')}/{name}/", Accept="application/vnd.pypi.simple.v1+json")
    want = re.compile(rf"^{re.escape(name.replace('-', '_'))}-{re.escape(version)}-(cp312-cp312|py3-none)-manylinux[^/]*_{machine}\.whl$")
    for f in json.loads(page)["files"]:
        if want.match(f["filename"]):
            return urllib.parse.urljoin(base, f["url"])
    sys.exit(f"the index has no wheel of {name} {version} for {machine}")


def main(group, name, version, machine, index=os.environ.get("PIP_INDEX_URL")):
    if not index:
        from pip._internal.models.index import PyPI

        index = PyPI.simple_url
    with zipfile.ZipFile(io.BufferedReader(Remote(wheel(index, name, version, machine)), 1 << 20)) as z:
        record = next(n for n in z.namelist() if n.endswith(".dist-info/RECORD"))
        print(group, name, version, machine, hashlib.sha256(z.read(record)).hexdigest())


if __name__ == "__main__":
    if len(sys.argv) not in (5, 6):
        sys.exit(__doc__)
    main(*sys.argv[1:])
