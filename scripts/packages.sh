#!/usr/bin/env bash
# Installs the packages that building needs, where they are missing. Root is needed for that alone.
set -euo pipefail
die() { echo "setup: $*" >&2; exit 1; }

missing=()
command -v g++ >/dev/null || missing+=(g++)
[ -e /usr/include/webp/demux.h ] || missing+=(libwebp-dev)
if [ ! -e /usr/include/jpeglib.h ] || ! compgen -G '/usr/lib*/libjpeg.a' >/dev/null && ! compgen -G '/usr/lib/*/libjpeg.a' >/dev/null; then
	missing+=(libjpeg-dev)
fi
if [ ${#missing[@]} -gt 0 ]; then
	command -v apt-get >/dev/null || die "missing: ${missing[*]} (Debian names); install them and run this again"
	as=()
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || die "missing: ${missing[*]}; as root: apt-get install ${missing[*]}"
		as=(sudo)
	fi
	echo "setup: installing ${missing[*]}"
	"${as[@]}" apt-get update -qq >/dev/null
	"${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
