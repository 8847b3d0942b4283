#!/usr/bin/env bash
# examples/crontab as cron calls it, over a flat folder in which one file is bad: predictions, exit codes, what is printed, the
# lock, the log's rotation, Prometheus's file; and the units of systemd beside it, as systemd-analyze reads them.
#   scripts/test-nightly.sh SYNSHARD MODEL TAR-OF-IMAGES
set -euo pipefail
synshard=$(realpath "$1") model=$(realpath "$2") images=$(realpath "$3")
cd "$(dirname "$0")/../examples"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { echo "test-nightly: $*" >&2; cat "$dir/said" >&2 2>/dev/null || true; exit 1; }
mkdir -p "$dir/bin" "$dir/images/incoming"
ln -s "$synshard" "$dir/bin/synshard"
cp nightly.sh "$dir/bin/synshard-nightly"
cp "$model" "$dir/images/model.onnx"
mapfile -t some < <(tar -tf "$images" | sed -n 1,8p)
tar -xf "$images" -C "$dir/images/incoming" "${some[@]}"
prom=$dir/nightly.prom

# The crontab's settings and command, in the environment that cron gives.
settings=(HOME="$dir" SHELL=/bin/sh LOGNAME=images XDG_CACHE_HOME="${XDG_CACHE_HOME:-$HOME/.cache}" ${SYNSHARD_ORT_LIB:+SYNSHARD_ORT_LIB="$SYNSHARD_ORT_LIB"})
while IFS= read -r line; do
	case $line in
	'#'*) ;;
	PATH=*) settings+=("PATH=$dir/bin:${line#PATH=}") ;;
	NIGHTLY=*) settings+=("NIGHTLY=$dir/images") ;;
	NIGHTLY_METRICS=*) settings+=("NIGHTLY_METRICS=$prom") ;;
	[A-Z]*=*) settings+=("$line") ;;
	*) [[ $line =~ ^([0-9*/,-]+[[:space:]]+){5}(.*)$ ]] && command=${BASH_REMATCH[2]} || fail "no line of a crontab: $line" ;;
	esac
done <crontab
[[ $command != *%* ]] || fail "cron takes the % in the crontab for a new line"
night() { # CODE: one night, which ends with it
	local got=0
	env -i "${settings[@]}" /bin/sh -c "$command" >"$dir/said" 2>&1 || got=$?
	[ "$got" = "$1" ] || fail "exit $got, want $1"
}
metric() { sed -n "s/^synshard_$1{.*} \(.*\)/\1/p" "$prom"; }
today=$dir/images/predictions/$(env -u TZ date +%F).arrow
n=$(ls "$dir/images/incoming" | wc -l)

# One file is bad: its row says so, all others are predicted.
echo 'no image' >"$dir/images/incoming/bad.jpg"
night 3
grep -q 'exit 3' "$dir/said" && grep -q 'bad.jpg' "$dir/said" || fail "it is not told what is wrong"
[ -s "$today" ] || fail "no predictions were written"
[ "$(metric exit_code) $(metric images) $(metric rejected_images)" = "3 $((n + 1)) 1" ] || fail "Prometheus is told otherwise: $(cat "$prom")"
success=$(metric last_success_timestamp_seconds)
awk -v now="$(date +%s)" -v then="$success" 'BEGIN { exit !(now - then >= -1 && now - then < 300) }' || fail "the last success is $success"
bad=$(sha256sum "$today")

# Mended, on the same day, with one image more: nothing is printed.
cp "$(ls "$dir"/images/incoming/*.JPEG | head -1)" "$dir/images/incoming/bad.jpg"
night 0
[ ! -s "$dir/said" ] || fail "something is printed although all went well"
[ "$bad" != "$(sha256sum "$today")" ] || fail "the mended image was not predicted"
good=$(sha256sum "$today")
night 0
[ ! -s "$dir/said" ] && [ "$good" = "$(sha256sum "$today")" ] || fail "a second call is not silent, or writes other bytes"

# Another is at work.
(exec 9>"$dir/images/nightly.lock" && flock 9 && exec sleep 30) &
holder=$!
until ! flock --nonblock "$dir/images/nightly.lock" true; do sleep 0.05; done
night 5
kill "$holder"
wait "$holder" || true
grep -q 'still at work' "$dir/said" || fail "it is not told that another is at work"

# It fails: it is told, and the last success stays what it was.
success=$(metric last_success_timestamp_seconds)
mv "$dir/images/model.onnx" "$dir/images/away"
night 1
[ -s "$dir/said" ] && [ "$(metric last_success_timestamp_seconds) $(metric exit_code)" = "$success 1" ] || fail "Prometheus is told otherwise: $(cat "$prom")"
mv "$dir/images/away" "$dir/images/model.onnx"

# The log is rotated, and goes on.
sed "s|/srv/images|$dir/images|; /^\tsu /d" nightly.logrotate >"$dir/logrotate.conf"
if logrotate=$(PATH=$PATH:/usr/sbin:/sbin command -v logrotate); then
	"$logrotate" --state "$dir/state" --force "$dir/logrotate.conf"
	night 0
	"$logrotate" --state "$dir/state" --force "$dir/logrotate.conf"
	zgrep -q 'bad.jpg' "$dir/images/log/nightly.log.2.gz" && zgrep -q '^== ' "$dir/images/log/nightly.log.1.gz" || fail "the log was not rotated: $(ls "$dir/images/log")"
else
	echo "test-nightly: logrotate is not installed: the log's rotation is not tested" >&2
fi

# Stopped, as systemd does it: all of the group have the signal, and it is told what became of it.
rm "$dir/bin/synshard"
printf '#!/bin/sh\ntrap "echo saved; exit 75" TERM\ntouch "%s"\nsleep 30 &\nwait\n' "$dir/began" >"$dir/bin/synshard"
chmod +x "$dir/bin/synshard"
setsid env -i "${settings[@]}" "$dir/bin/synshard-nightly" >"$dir/said" 2>&1 &
group=$!
until [ -e "$dir/began" ]; do sleep 0.05; done
kill -TERM -- "-$group"
code=0
wait "$group" || code=$?
[ "$code" = 75 ] && grep -q '^saved' "$dir/said" || fail "stopped, it ends with $code"

if command -v systemd-analyze >/dev/null; then
	for unit in synshard-nightly.service synshard-nightly.timer; do
		sed "s|^ExecStart=/usr/local/bin/|ExecStart=$dir/bin/|" "$unit" >"$dir/$unit"
	done
	systemd-analyze verify "$dir/synshard-nightly.service" "$dir/synshard-nightly.timer" >"$dir/said" 2>&1 || fail "systemd takes the units for wrong"
	! grep "$dir/synshard-nightly" "$dir/said" || fail "systemd has something to say of the units"
	systemd-analyze calendar "$(sed -n 's/^OnCalendar=//p' synshard-nightly.timer)" >/dev/null || fail "the timer's time is none"
else
	echo "test-nightly: there is no systemd-analyze: the units are not verified" >&2
fi
echo "test-nightly: $((n + 1)) images, one of them bad, mended, locked, failed, stopped"
