#!/bin/sh
# One night's predictions over a flat folder, for cron (crontab) or systemd (synshard-nightly.timer), as synshard-nightly in
# the PATH. In the directory NIGHTLY:
#
#   model.onnx, incoming/     the model and the images, with directories among them or not
#   predictions/DATE.arrow    a row an image, written here, whole or not at all
#   log/nightly.log           what was said; nightly.logrotate keeps eight weeks of it
#
# All went well: nothing is printed. Images that could not be read: their rows say why, the others are predicted, what synshard
# said is printed, and the exit code is its 3. So it is with every other code. NIGHTLY_METRICS, where it is set, is a file
# for Prometheus's node exporter, with the time of the last success. Called again on a day it does what is new, or nothing.
cd "${NIGHTLY:?nightly: set it to the directory with model.onnx and incoming/}" || exit 1
mkdir -p predictions log || exit 1
exec 9>nightly.lock # the verb inherits it: the lock is held for as long as that lives
flock --nonblock 9 || { echo "nightly: the call before this one is still at work" >&2; exit 5; }

out=predictions/$(date +%F).arrow log=log/nightly.log
for cut in predictions/*.chunks; do # what another day's call began and nobody goes on with
	[ "$cut" = "$out.chunks" ] || rm -rf "$cut"
done
date '+== %F %T' >>"$log" || exit 1
was=$(wc -c <"$log")
trap : TERM INT HUP # the verb has them as well, saves, and ends with 75; that is told like any other code
synshard infer model.onnx incoming --out "$out" --overwrite --progress off ${NIGHTLY_METRICS:+--metrics-file "$NIGHTLY_METRICS"} >>"$log" 2>&1
code=$?
[ $code -eq 0 ] || { echo "nightly: $NIGHTLY/$out: exit $code"; tail -c "+$((was + 1))" "$log"; } >&2
exit $code
