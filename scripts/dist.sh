#!/usr/bin/env bash
# What is installed on machines that have no toolchain, for amd64 and arm64: a .tar.gz, a .deb, a .rpm and an SBOM, and
# SHA256SUMS of them. The same commit makes the same bytes, on any machine with this Debian's compilers.
#   scripts/dist.sh [--out DIR] [--arch amd64|arm64]... [--engine cpu|cuda|none]...      default: dist/, both, cpu and cuda
#
# Beside the binary comes the training engine, built beforehand against the libtorch that `synshard setup` brings.
# Installs nothing: names what is missing. VERSION overrides what git says, SOURCE_DATE_EPOCH the time of the commit.
set -euo pipefail
cd "$(dirname "$0")/.."
repo=$PWD
die() { echo "dist: $*" >&2; exit 1; }
say() { echo "dist: $*" >&2; }

# What the results may ask of a system: glibc of 2021 and GCC 11's C++ library, as Debian 12, Ubuntu 22.04 and RHEL 9 have.
glibc=2.34 glibcxx=3.4.29

out=dist arches=() engines=()
while [ $# -gt 0 ]; do
	[ $# -ge 2 ] || die "$1: want a value"
	case $1 in
	--out) out=$2 ;;
	--arch) arches+=("$2") ;;
	--engine) [ "$2" = none ] && engines=(none) || engines+=("$2") ;;
	*) die "$1: want --out, --arch or --engine" ;;
	esac
	shift 2
done
[ ${#arches[@]} -gt 0 ] || arches=(amd64 arm64)
[ ${#engines[@]} -gt 0 ] || engines=(cpu cuda)
host=$(go env GOHOSTARCH)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/synshard/dist
mkdir -p "$out" "$cache"
out=$(cd "$out" && pwd)
[ -z "$(ls -A "$out")" ] || die "$out is not empty"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

commit=$(git rev-parse HEAD)
[ -z "$(git status --porcelain)" ] || commit+=-changed
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)} TZ=UTC LC_ALL=C
if [ -z "${VERSION:-}" ]; then
	VERSION=$(git describe --tags --exact-match 2>/dev/null) || VERSION="0.0.0~$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d).${commit:0:12}${commit:40}"
	VERSION=${VERSION#v}
fi
export VERSION

# compilers ARCH: sets cc, cxx and strip to those that build for it.
compilers() {
	local prefix=
	case $1 in
	amd64) triplet=x86_64-linux-gnu ;;
	arm64) triplet=aarch64-linux-gnu ;;
	*) die "$1: want amd64 or arm64" ;;
	esac
	[ "$1" = "$host" ] || prefix=$triplet-
	cc=${prefix}gcc cxx=${prefix}g++ strip=${prefix}strip
	local tool
	for tool in "$cc" "$cxx" "$strip"; do
		command -v "$tool" >/dev/null || die "$tool is missing (Debian: g++${prefix:+-${triplet//_/-}})"
	done
}

# libraries ARCH: sets jpeg and webp to the static libraries' versions, and how cgo finds them: the system's, or of another
# architecture those that Debian has, unpacked into the cache.
libraries() {
	cgo=()
	if [ "$1" = "$host" ]; then
		local package
		for package in libjpeg62-turbo-dev libwebp-dev; do
			dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed' || die "$package is missing"
		done
		licences=/usr/share/doc
		jpeg=$(dpkg-query -W -f '${Version}' libjpeg62-turbo-dev) webp=$(dpkg-query -W -f '${Version}' libwebp-dev)
		return
	fi
	local dir=$cache/$1 file
	if [ ! -e "$dir/whole" ]; then
		say "bringing libjpeg-turbo and libwebp for $1"
		rm -rf "$dir" && mkdir -p "$dir/lists/partial" "$dir/debs"
		(
			cd "$dir/debs"
			apt=(apt-get -qq -o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir" -o "APT::Architecture=$1" -o "APT::Architectures=$1")
			"${apt[@]}" update && "${apt[@]}" download libjpeg62-turbo-dev libwebp-dev
		) >&2
		for file in "$dir"/debs/*.deb; do dpkg -x "$file" "$dir"; done
		rm -rf "$dir/lists"
		touch "$dir/whole"
	fi
	licences=$dir/usr/share/doc
	jpeg=$(dpkg-deb -f "$dir"/debs/libjpeg62-turbo-dev_*.deb Version) webp=$(dpkg-deb -f "$dir"/debs/libwebp-dev_*.deb Version)
	cgo=(CGO_CFLAGS="-O2 -I$dir/usr/include -I$dir/usr/include/$triplet" CGO_LDFLAGS="-L$dir/usr/lib/$triplet")
}

# binary ARCH FILE. What can be is linked in; libc is not, as dlopen is of it, by which libtorch and ONNX Runtime come.
binary() {
	env CGO_ENABLED=1 GOOS=linux GOARCH="$1" CC="$cc" "${cgo[@]}" go build -trimpath -buildvcs=false \
		-ldflags "-s -w -buildid= -X main.version=$VERSION -linkmode external -extldflags '-static-libgcc -Wl,--build-id=none'" -o "$2" ./cmd/synshard
}

# modest FILE: dies where it asks more of a system than it may.
modest() {
	local name most have
	for name in GLIBC GLIBCXX; do
		[ "$name" = GLIBC ] && most=$glibc || most=$glibcxx
		have=$(readelf -W -V "$1" | sed -nE "s/.*\b${name}_([0-9.]+).*/\1/p" | sort -uV | tail -1)
		[ "$(printf '%s\n' "$most" "${have:-0}" | sort -V | tail -1)" = "$most" ] || die "$(basename "$1") wants ${name}_$have, more than $most"
	done
}

# engine ARCH KIND DIR: builds it into DIR and adds to the SBOM's components what it is for.
engine() {
	local version torch name place
	read -r version torch name place < <(go run ./scripts/dist libtorch -arch "$1" -kind "$2" -cache "$cache/libtorch-$1")
	[ -n "$place" ] || die "no libtorch for $1 ($2)"
	say "building the engine for libtorch $version ($2), $1"
	CXX=$cxx train/torch/shim/build.sh --torch "$torch" --out "$3/$name" --rpath "$place" >&2
	"$strip" --strip-unneeded "$3/$name"
	chmod 644 "$3/$name"
	modest "$3/$name"
	added+=(-add "library:libtorch-$2:$version:pkg:pypi/torch@$version?build=$2") # a reference each
}

# notices BINARY DIR: the licences of what is linked into it.
notices() {
	local module version dir file
	while read -r _ module version _; do
		dir=$(go list -m -f '{{.Dir}}' "$module@$version")
		mkdir -p "$2/$module"
		for file in "$dir"/{LICEN[CS]E,COPYING,NOTICE,PATENTS,UNLICENSE}*; do
			[ ! -f "$file" ] || install -m 644 "$file" "$2/$module/"
		done
		rmdir "$2/$module" 2>/dev/null && die "$module has no licence that could be handed on" || true
	done < <(go version -m "$1" | awk '$1 == "dep"')
	install -D -m 644 "$(go env GOROOT)/LICENSE" "$2/go/LICENSE"
	install -D -m 644 "$licences/libjpeg62-turbo-dev/copyright" "$2/libjpeg-turbo/copyright"
	install -D -m 644 "$licences/libwebp-dev/copyright" "$2/libwebp/copyright"
}

# The tools that scripts/dist/tools/go.mod pins.
(cd scripts/dist/tools && go build -trimpath -o "$work/tools/" tool)
compilers "$host" && libraries "$host"
binary "$host" "$work/synshard"
for arch in "${arches[@]}"; do
	say "synshard $VERSION, $arch"
	compilers "$arch"
	libraries "$arch"
	name=synshard-$VERSION-linux-$arch
	root=$work/$name
	doc=$root/share/doc/synshard
	mkdir -p "$root/bin" "$root/lib/synshard" "$doc"
	binary "$arch" "$root/bin/synshard"
	modest "$root/bin/synshard"
	added=(-add "library:libjpeg-turbo:$jpeg:pkg:deb/debian/libjpeg62-turbo-dev@$jpeg?arch=$arch" -add "library:libwebp:$webp:pkg:deb/debian/libwebp-dev@$webp?arch=$arch")
	for kind in "${engines[@]}"; do
		[ "$kind" = none ] || engine "$arch" "$kind" "$root/lib/synshard"
	done

	"$work/synshard" man --out "$root/share/man/man1" >/dev/null
	gzip -9n "$root"/share/man/man1/*
	for shell in bash:bash-completion/completions/synshard zsh:zsh/site-functions/_synshard fish:fish/vendor_completions.d/synshard.fish; do
		mkdir -p "$(dirname "$root/share/${shell#*:}")"
		"$work/synshard" completion "${shell%%:*}" >"$root/share/${shell#*:}"
	done
	cp README.md CHANGELOG.md LICENSE "$doc/"
	cp -r docs examples "$doc/"
	rm -rf "$doc/docs/images" "$doc/examples/kubernetes"/{go.mod,go.sum,*_test.go}
	notices "$root/bin/synshard" "$doc/licences"
	"$work/tools/cyclonedx-gomod" bin -json -std -noserial -notimestamp -version "$VERSION" -output "$out/$name.cdx.json" "$root/bin/synshard" 2>"$work/bom.log" || die "$(cat "$work/bom.log")"
	go run ./scripts/dist sbom -bom "$out/$name.cdx.json" "${added[@]}"
	cp "$out/$name.cdx.json" "$doc/sbom.cdx.json"

	find "$root" -type d -exec chmod 755 {} +
	find "$root" -type f -exec chmod u=rwX,go=rX {} +
	find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --format=ustar -cf - "$name" | gzip -9n >"$out/$name.tar.gz"
	export ARCH=$arch
	for packager in deb rpm; do
		(cd "$root" && "$work/tools/nfpm" package --config "$repo/scripts/dist/nfpm.yaml" --packager "$packager" --target "$out/$name.$packager" >&2)
	done
done
(cd "$out" && sha256sum -- * >"$work/SHA256SUMS" && mv "$work/SHA256SUMS" .)
(cd "$out" && ls -l -- *) >&2
