#!/usr/bin/env bash
# Checks a clean checkout: formatting, vet and every Go test, the race detector included.
set -euo pipefail
cd "$(dirname "$0")/.."
started=$SECONDS

missing=()
command -v g++ >/dev/null || missing+=(g++)
[ -e /usr/include/jpeglib.h ] || missing+=(libjpeg62-turbo-dev)
[ -e /usr/share/wordnet/data.noun ] || missing+=(wordnet-base)
if [ ${#missing[@]} -gt 0 ]; then
	echo "installing ${missing[*]}"
	apt-get update -qq && apt-get install -y -qq "${missing[@]}"
fi

unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || { echo "gofmt: $unformatted" >&2; exit 1; }
go vet ./...
go test ./...
go test -race ./...
echo "tests passed in $((SECONDS - started)) s"
