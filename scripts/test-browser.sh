#!/usr/bin/env bash
# A report in a real browser: headless Chromium opens it, and axe-core looks for what keeps people out.
#   scripts/test-browser.sh REPORT.html [SCREENSHOT.png]
#
# It skips, naming what is missing, where there is no Chromium or no npm: on Debian, apt-get install chromium npm, which it
# does itself where CI is set and it may. SYNSHARD_TEST_BROWSER=1 makes a skip a failure.
set -euo pipefail
report=$(realpath "$1") shot=$(realpath -m "${2:-/dev/null}")
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
cp report.mjs "$kept"
[ "$shot" != /dev/null ] || shot=$(mktemp -d)/report.png
node "$kept/report.mjs" "$chromium" "$report" "$shot"
echo "test-browser: nothing is wrong with ${report##*/} in Chromium, by axe in the light and in the dark"
