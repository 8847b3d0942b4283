#!/usr/bin/env bash
# Pages in a real browser: headless Chromium opens them, and axe-core looks for what keeps people out. Of `synshard serve` it
# walks through a dataset and predictions as a person would, and through one in which every name and image is hostile.
#   scripts/test-browser.sh REPORT.html [SCREENSHOT.png]
#   scripts/test-browser.sh --serve SYNSHARD DATASET PREDICTIONS MODEL [DIRECTORY]    screenshots go there
#
# It skips, naming what is missing, where there is no Chromium or no npm: on Debian, apt-get install chromium npm, which it
# does itself where CI is set and it may. SYNSHARD_TEST_BROWSER=1 makes a skip a failure.
set -euo pipefail
if [ "$1" = --serve ]; then
	synshard=$(realpath "$2") dataset=$(realpath "$3") predictions=$(realpath "$4") model=$(realpath "$5") shots=$(realpath -m "${6:-/dev/null}")
else
	report=$(realpath "$1") shot=$(realpath -m "${2:-/dev/null}")
fi
cd "$(dirname "$0")/browser"
if [ -n "${CI:-}" ] && [ "$(id -u)" = 0 ] && ! { command -v chromium && command -v npm; } >/dev/null && command -v apt-get >/dev/null; then
	apt-get update -qq >/dev/null 2>&1 || true
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium npm >/dev/null 2>&1 || true
fi
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
missing=()
[ -n "$chromium" ] || missing+=(chromium)
for program in node npm; do command -v "$program" >/dev/null || missing+=("$program"); done
kept=${XDG_CACHE_HOME:-$HOME/.cache}/synshard/browser-$(sha256sum package.json package-lock.json | sha256sum | cut -c1-16)
if [ ${#missing[@]} = 0 ] && [ ! -e "$kept/done" ]; then
	mkdir -p "$kept"
	cp package.json package-lock.json "$kept"
	if (cd "$kept" && npm ci --no-audit --no-fund --ignore-scripts >npm.log 2>&1); then touch "$kept/done"; else missing+=("the packages of scripts/browser/package.json: $(tail -n 1 "$kept/npm.log")"); fi
fi
if [ ${#missing[@]} -gt 0 ]; then
	echo "test-browser: skipped: not here: ${missing[*]}; Debian's packages are chromium and npm" >&2
	[ -z "${SYNSHARD_TEST_BROWSER:-}" ] || exit 1
	exit 0
fi
cp report.mjs serve.mjs "$kept"
if [ -n "${synshard:-}" ]; then
	hostile=$(mktemp -d)
	trap 'rm -rf "$hostile"' EXIT
	(cd hostile && go run . "$hostile")
	[ "$shots" != /dev/null ] || shots=$hostile
	node "$kept/serve.mjs" "$chromium" "$synshard" "$dataset" "$predictions" "$model" "$shots" "$hostile"
	node "$kept/serve.mjs" "$chromium" "$synshard" --hostile "$hostile/set" "$hostile/p.csv" "$hostile/set"
	echo "test-browser: nothing is wrong with what serve shows in Chromium, by axe in the light and in the dark, at a keyboard, nor does anything hostile get out"
	exit 0
fi
[ "$shot" != /dev/null ] || shot=$(mktemp -d)/report.png
node "$kept/report.mjs" "$chromium" "$report" "$shot"
echo "test-browser: nothing is wrong with ${report##*/} in Chromium, by axe in the light and in the dark"
