#!/usr/bin/env bash
# Builds everything for 64-bit Arm and runs the tests of what is written in C there, on another machine by emulation.
# Installs nothing: names what is missing. On Debian: gcc-aarch64-linux-gnu and qemu-user-static, and libjpeg-turbo
# and libwebp for arm64 unpacked into a directory, LIBRARIES_ARM64:
#   apt-get -oAPT::Architecture=arm64 -oAPT::Architectures=arm64 download libjpeg62-turbo-dev libwebp-dev
#   for each FILE: dpkg -x FILE DIR
set -euo pipefail
cd "$(dirname "$0")/.."
die() { echo "test-arm64: $*" >&2; exit 1; }
run=()
if [ "$(uname -m)" != aarch64 ]; then
	command -v aarch64-linux-gnu-gcc >/dev/null || die "aarch64-linux-gnu-gcc is missing (Debian: gcc-aarch64-linux-gnu)"
	command -v qemu-aarch64-static >/dev/null || die "qemu-aarch64-static is missing (Debian: qemu-user-static)"
	jpeg=${LIBRARIES_ARM64:?test-arm64: set it to the directory where libjpeg-turbo and libwebp for arm64 were unpacked}
	library=$(find "$jpeg" -name libjpeg.a | head -1)
	header=$(find "$jpeg" -name jpeglib.h | head -1)
	config=$(find "$jpeg" -name jconfig.h | head -1)
	[ -n "$library" ] && [ -n "$header" ] && [ -n "$config" ] || die "$jpeg has no libjpeg.a, jpeglib.h or jconfig.h"
	[ -n "$(find "$jpeg" -name libwebpdemux.a)" ] || die "$jpeg has no libwebpdemux.a"
	export CC=aarch64-linux-gnu-gcc CGO_LDFLAGS="-L$(cd "$(dirname "$library")" && pwd)"
	export CGO_CFLAGS="-O2 -I$(cd "$(dirname "$header")" && pwd) -I$(cd "$(dirname "$config")" && pwd)"
	run=(qemu-aarch64-static -L /usr/aarch64-linux-gnu)
fi
export CGO_ENABLED=1 GOARCH=arm64
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -o "$work/synshard" ./cmd/synshard
go vet ./...
"${run[@]}" "$work/synshard" --version
for package in pixel loader; do
	go test -c -o "$work/$package.test" "./$package"
	(cd "$package" && "${run[@]}" "$work/$package.test" -test.short)
done
