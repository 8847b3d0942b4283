#!/usr/bin/env bash
# Packs what scripts/gpu/kit.py needs into one archive of at most 48 MiB, to be carried to a machine with a card where there
# is no Go and no network:
#   scripts/gpu/pack.sh [--torch DIR] FILE.tar.gz
# DIR is PyTorch's package with CUDA (site-packages/torch), of the version that is there: with it the engine's library goes
# along built, for the case that it cannot be built there. WordNet is taken from SYNSHARD_WORDNET, from where set-up put it, or where Debian has it.
# There: tar -xzf FILE.tar.gz && python3 synshard/scripts/gpu/kit.py --call 1 --out DIR
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
usage() { sed -n '2,7s/^# \{0,1\}//p' "$0"; }
die() { echo "gpu/pack: $*" >&2; exit 1; }
torch='' to=''
while [ $# -gt 0 ]; do
	case $1 in
	--torch) [ $# -ge 2 ] || { usage >&2; exit 2; }; torch=$2; shift ;;
	-h | --help) usage; exit 0 ;;
	-*) usage >&2; exit 2 ;;
	*) [ -z "$to" ] || { usage >&2; exit 2; }; to=$1 ;;
	esac
	shift
done
[ -n "$to" ] || { usage >&2; exit 2; }
wordnet=${SYNSHARD_WORDNET:-lib/wordnet}
[ -n "${SYNSHARD_WORDNET:-}" ] || [ -e "$wordnet/data.noun" ] || wordnet=/usr/share/wordnet
[ -e "$wordnet/data.noun" ] || die "no data.noun in $wordnet; set SYNSHARD_WORDNET"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
kit=$work/synshard
mkdir -p "$kit/bin/wordnet" "$kit/train"
cd "$here"
go build -ldflags='-s -w' -o "$kit/bin/synshard" ./cmd/synshard
go test -c -ldflags='-s -w' -o "$kit/bin/torch.test" ./train/torch
cp "$wordnet/data.noun" "$kit/bin/wordnet/"
cp -R scripts "$kit/"
cp -R train/torch "$kit/train/"
[ -z "$torch" ] || train/torch/shim/build.sh --torch "$torch" --out "$kit/bin/libsynshard_torch.so"
[ -z "$torch" ] || strip "$kit/bin/libsynshard_torch.so"
git rev-parse HEAD >"$kit/commit" 2>/dev/null || echo unknown >"$kit/commit"
tar -C "$work" -czf "$to" synshard
size=$(stat -c %s "$to")
[ "$size" -le $((48 << 20)) ] || die "$to has $((size >> 20)) MiB, more than 48"
echo "gpu/pack: $to: $((size >> 10)) KiB" >&2
