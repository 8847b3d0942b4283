#!/usr/bin/env bash
# Predicts over a dataset here and over the same one in a bucket of an S3 server on loopback, loads it from a warm cache and
# from the disk, and verifies both, in turns; prints medians, ratios and the most memory that each call had. The server takes
# its part of the same processors.
#   scripts/bench/bucket.sh --tar FILE [--turns N] [--images N] [MODEL.onnx...]
# --tar has directories of classes; --images is how many of them are predicted over.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
source "$here/scripts/bench/options.bash"
images=200 tar='' turns=3
options "images tar turns" "$@"
[ -n "$tar" ] || refuse
models=("${rest[@]}")
source "$here/scripts/bench/s3.bash"
for out in "$work/set" s3://bucket/set; do "$work/synshard" ingest "$tar" --out "$out" --progress off >/dev/null; done # objects that were copied there would have no ETag
per=$(((images + 9) / 10))
declare -A at=([here]=$work/set [bucket]=s3://bucket/set) flags=([here]='' [bucket]="--cache-dir $work/cache")
# timed NAME CMD...: notes milliseconds and KiB of a call.
timed() {
	local name=$1 began
	shift
	began=$(date +%s%N)
	/usr/bin/time -o "$work/kib" -f %M "$@" >"$work/out" 2>"$work/err" || { cat "$work/err" >&2; return 1; }
	echo $((($(date +%s%N) - began) / 1000000)) >>"$work/$name.ms"
	tail -1 "$work/kib" >>"$work/$name.kib"
}
median() { sort -n "$1" | sed -n "$(($(wc -l <"$1") / 2 + 1))p"; }
row() { # WHAT
	awk -v what="$1" -v a="$(median "$work/$1.here.ms")" -v b="$(median "$work/$1.bucket.ms")" -v x="$(median "$work/$1.here.kib")" -v y="$(median "$work/$1.bucket.kib")" \
		'BEGIN { printf "%-28s here %8.2f s %5d MiB, bucket %8.2f s %5d MiB: %.2f of here\n", what, a / 1000, x / 1024, b / 1000, y / 1024, a / b }'
}
printf '%d MB, medians of %d turns\n' $(($(stat -c %s "$tar") / 1000000)) "$turns"
for model in "${models[@]}"; do
	what=infer-$(basename "$model" .onnx)
	for _ in $(seq "$turns"); do
		for place in here bucket; do
			rm -f "$work/p.arrow"*
			# shellcheck disable=SC2086
			timed "$what.$place" "$work/synshard" infer "$model" "${at[$place]}" --split train --limit-per-synset "$per" --device cpu --out "$work/p.arrow" --progress off ${flags[$place]}
		done
	done
	row "$what"
done
# What is measured of the loader is a warm cache: it is filled until nothing is asked for any more. The bench draws rows as they
# fall, in no epochs, and has met each of so few after some thousands; of all rows some would be missing after many.
rows=1000
for try in 1 2 3; do
	"$work/synshard" bench loader s3://bucket/set --limit "$rows" --seconds $((25 * try)) --rounds 1 --json --progress off --cache-dir "$work/cache" >"$work/filled" 2>/dev/null
	! grep -q '"misses": *0[,}]' "$work/filled" || break
done
grep -q '"misses": *0[,}]' "$work/filled" || { echo "bench/bucket: the cache does not fill: $(cat "$work/filled")" >&2; exit 1; }
for turn in $(seq "$turns"); do
	for place in here bucket; do
		# shellcheck disable=SC2086
		timed "verify.$place" "$work/synshard" verify "${at[$place]}" --progress off ${flags[$place]}
		# shellcheck disable=SC2086
		"$work/synshard" bench loader "${at[$place]}" --limit "$rows" --seconds 8 --rounds 1 --json --progress off ${flags[$place]} >"$work/loader.$place.$turn" 2>/dev/null
	done
done
row verify
for place in here bucket; do
	echo "loader, $place: $(grep -ho '"images_per_second": *[0-9.]*' "$work/loader.$place."* | tr '\n' ' ')"
done
