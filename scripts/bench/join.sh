#!/usr/bin/env bash
# Has the jobs of an array make a dataset of as many synsets as ImageNet-21k has, of a few small images each, here and in a
# bucket of an S3 server on loopback; then joins it in both places, in turns, and prints medians, the most memory and, of the
# bucket, the requests. Both must be what one call makes. The server takes its part of the same processors.
#   scripts/bench/join.sh [--synsets N] [--jobs N] [--turns N]
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
source "$here/scripts/bench/options.bash"
synsets=21841 jobs=8 turns=3
options "synsets jobs turns" "$@"
[ ${#rest[@]} -eq 0 ] || refuse
source "$here/scripts/bench/s3.bash"
"$work/synshard" sample --out "$work/drawn" --train-per-synset 1 --val-per-synset 1 --test-images 1 --progress off >/dev/null
"$work/synshard" ingest --train "$work"/drawn/*img_train.tar --out "$work/drawn/set" --shrink 16 --progress off >/dev/null
"$work/synshard" export "$work/drawn/set" --to folder --out "$work/drawn/small" --progress off >/dev/null
python3 - "$work" "$synsets" <<'EOF'
import io, pathlib, sys, tarfile
work, n = pathlib.Path(sys.argv[1]), int(sys.argv[2])
images = [p.read_bytes() for p in sorted((work / "drawn/small").rglob("*.JPEG"))[:4]]
def add(to, name, b):
    h = tarfile.TarInfo(name)
    h.size = len(b)
    to.addfile(h, io.BytesIO(b))
with tarfile.open(work / "in.tar", "w") as outer:
    for i in range(n):
        inner = io.BytesIO()
        with tarfile.open(fileobj=inner, mode="w") as t:
            for k, b in enumerate(images):
                add(t, f"n{i:08d}_{k}.JPEG", b)
        add(outer, f"n{i:08d}.tar", inner.getvalue())
EOF
declare -A at=([here]=$work/set [bucket]=s3://bucket/set) flags=([here]='' [bucket]="--cache-dir $work/cache")
served() { awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) / hz }' "/proc/$pid/stat"; } # seconds of a processor by the server
now() { date +%s%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", (b - a) / 1e9 }'; }
began=$(now)
"$work/synshard" ingest "$work/in.tar" --out "$work/one" --progress off >/dev/null
printf '%d synsets in %d MB; one call over all of it: %s s\n' "$synsets" $(($(stat -c %s "$work/in.tar") / 1000000)) "$(since "$began")"
for place in here bucket; do
	began=$(now) running=()
	for i in $(seq 0 $((jobs - 1))); do
		# shellcheck disable=SC2086
		"$work/synshard" ingest "$work/in.tar" --out "${at[$place]}" --job "$i/$jobs" -j 1 --progress off ${flags[$place]} >/dev/null &
		running+=($!)
	done
	for one in "${running[@]}"; do wait "$one"; done
	echo "$jobs jobs at a time, $place: $(since "$began") s"
done
mkdir "$work/kept"
cp -a "$work/set" "$work/kept/here"
cp -a "$work/objects/bucket/set" "$work/kept/objects"
cp -a "$work/side/bucket/set" "$work/kept/side"
for _ in $(seq "$turns"); do
	rm -rf "$work/set" "$work/objects/bucket/set" "$work/side/bucket/set"
	cp -a "$work/kept/here" "$work/set"
	cp -a "$work/kept/objects" "$work/objects/bucket/set"
	cp -a "$work/kept/side" "$work/side/bucket/set"
	sync
	for place in here bucket; do
		served=$(served)
		# shellcheck disable=SC2086
		/usr/bin/time -a -o "$work/$place.time" -f '%e %U %S %M' "$work/synshard" ingest --join --out "${at[$place]}" --json --progress off ${flags[$place]} >"$work/$place.json"
		awk -v a="$served" -v b="$(served)" 'BEGIN { print b - a }' >>"$work/$place.served"
	done
	diff -r -x .lock "$work/one" "$work/set"
	diff -r -x .lock "$work/one" "$work/objects/bucket/set"
done
for place in here bucket; do
	sort -n "$work/$place.time" | sed -n "$((turns / 2 + 1))p" | awk -v place="$place" -v served="$(sort -n "$work/$place.served" | sed -n "$((turns / 2 + 1))p")" \
		'{ printf "join, %s: %.1f s, %.1f s of a processor and %.1f s of one by the server, %d MiB\n", place, $1, $2 + $3, served, $4 / 1024 }'
done
grep -o '"\(requests\|retries\|bytes_read\|bytes_written\)":[^,}]*' "$work/bucket.json" | tr '\n' ' '
echo
