#!/usr/bin/env bash
# The packages that the race detector has something to say of: those that start goroutines, or whose tests do, or
# what either imports of ours. In the others one goroutine does it all.
set -euo pipefail
cd "$(dirname "$0")/.."
module=$(go list -m)
starting=$(git grep -lE '^\s*go [A-Za-z_]|\.Go\(|AfterFunc\(|\.Parallel\(|\.RunParallel\(' -- '*.go' | xargs -n1 dirname | sort -u | sed "s#^#$module/#")
go list -test -f '{{.ImportPath}} {{join .Deps " "}}' ./... | awk -v starting="$starting" '
	BEGIN { split(starting, names, "\n"); for (i in names) starts[names[i]] = 1 }
	$1 ~ /\.test$/ { sub(/\.test$/, "", $1); for (i = 1; i <= NF; i++) if ($i in starts) { print $1; next } }'
