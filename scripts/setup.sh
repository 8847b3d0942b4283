#!/usr/bin/env bash
# Sets a checkout up: the packages that building needs, the binary, and with it (synshard setup) all that it opens while
# it runs. Root is needed only to install a missing package. Arguments are those of `synshard setup`.
set -euo pipefail
cd "$(dirname "$0")/.."
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

go build -o bin/synshard ./cmd/synshard
exec bin/synshard setup --lib lib "$@"
