#!/usr/bin/env bash
# Ingests the same tar from and to this machine's disk and an S3 server on loopback, in turns, and prints the medians and
# the ratios. The server takes its part of the same processors and the same disk.
#   scripts/bench/ingest_s3.sh [--images N | --tar FILE] [--turns N]
# --images is how many drawn images each class has; --tar reads one with directories of classes instead.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
source "$here/scripts/bench/options.bash"
images=200 tar='' turns=3
options "images tar turns" "$@"
[ ${#rest[@]} = 0 ] || refuse
source "$here/scripts/bench/s3.bash"
if [ -z "$tar" ]; then
	"$work/synshard" sample --out "$work/drawn" --train-per-synset "$images" --progress off >/dev/null
	tar=$(echo "$work"/drawn/*img_train.tar)
fi
cp "$tar" "$work/in.tar"
cp "$tar" "$work/objects/bucket/in.tar"
declare -A from=([disk]=$work/in.tar [s3]=s3://bucket/in.tar) to=([disk]=$work/set [s3]=s3://bucket/set)
for turn in $(seq "$turns"); do
	for road in disk-disk s3-disk disk-s3 s3-s3; do
		echo "bench/ingest_s3: $road, turn $turn of $turns" >&2
		rm -rf "$work/set" "$work/objects/bucket/set" "$work/side/bucket/set" # the server keeps what it knows of objects aside
		sync
		began=$(date +%s%N)
		"$work/synshard" ingest --train "${from[${road%-*}]}" --out "${to[${road#*-}]}" --progress off >/dev/null
		echo $((($(date +%s%N) - began) / 1000000)) >>"$work/$road"
	done
done
median() { sort -n "$work/$1" | sed -n "$((turns / 2 + 1))p"; }
printf '%d MB, medians of %d turns\n' $(($(stat -c %s "$work/in.tar") / 1000000)) "$turns"
for road in disk-disk s3-disk disk-s3 s3-s3; do
	awk -v road="$road" -v ms="$(median "$road")" -v base="$(median disk-disk)" 'BEGIN { printf "%-10s %8.2f s  %.2f of disk to disk\n", road, ms / 1000, base / ms }'
done
