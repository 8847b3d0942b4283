#!/usr/bin/env bash
# Builds the S3 server that tests and benches ask on loopback, versitygw as scripts/s3server/go.mod pins it, into the
# user's cache. It is a module of its own, so that what it needs weighs on nothing of ours. Built once, in some minutes.
set -euo pipefail
cd "$(dirname "$0")/s3server"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/synshard
mkdir -p "$cache"
version=$(go list -m -f '{{.Version}}' github.com/versity/versitygw)
to=$cache/versitygw-$version
[ -x "$to" ] || { go build -trimpath -o "$to.$$" github.com/versity/versitygw/cmd/versitygw && mv "$to.$$" "$to"; }
ln -sfn "$(basename "$to")" "$cache/versitygw"
echo "$cache/versitygw"
