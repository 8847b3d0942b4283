#!/usr/bin/env bash
# Sets a checkout up: the packages that building needs, the binary, and with it (synshard setup) all that it opens while
# it runs. Root is needed only to install a missing package. Arguments are those of `synshard setup`.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/packages.sh
go build -o bin/synshard ./cmd/synshard
exec bin/synshard setup --lib lib "$@"
