#!/usr/bin/env bash
# What scripts/dist.sh makes, as far as it can be held to its word here. Slow, and so no part of `make test`.
#   scripts/test-dist.sh install DIST [SUITE...]      as root: the .deb on a bare Debian of each suite (bookworm, trixie)
#   scripts/test-dist.sh same [ARGS OF dist.sh...]    builds the commit twice, in two places, once with no cache, and compares
#
# A bare Debian is debootstrap's smallest in a directory (some 2 GB with what set-up brings), left when the test ends. In it
# the .deb is installed, doctor asked, and a user without rights goes the whole road with nothing but `synshard setup`.
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { echo "test-dist: $*" >&2; exit 1; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/synshard-dist.XXXXXX")
trap 'rm -rf --one-file-system "$dir"' EXIT

same() {
	local n
	for n in 1 2; do
		git clone -q --no-hardlinks . "$dir/place-$n/synshard-$n"
		(
			cd "$dir/place-$n/synshard-$n"
			[ "$n" = 1 ] || export GOCACHE=$dir/cache
			TMPDIR=$dir/place-$n scripts/dist.sh --out "$dir/out-$n" "$@"
		)
		rm -rf "$dir/place-$n"
	done
	diff -r "$dir/out-1" "$dir/out-2" || fail "two builds of one commit differ"
	cat "$dir/out-1/SHA256SUMS"
	echo "test-dist: $(wc -l <"$dir/out-1/SHA256SUMS") files, the same bytes twice"
}

# within ROOT COMMAND...: in a bare Debian, whose processes end with the command.
within() { unshare --mount --pid --fork --mount-proc="$1/proc" chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "${@:2}"; }
# user ROOT COMMAND: by one who is not root.
user() { within "$1" su - tester -c "export PIP_INDEX_URL='$index'; set -eu; $2"; }

install_on() { # DEB SUITE
	local root=$dir/root
	echo "test-dist: debootstrap $2" >&2
	debootstrap --variant=minbase "$2" "$root" >"$dir/log" 2>&1 || fail "debootstrap $2: $(tail -5 "$dir/log")"
	cp /etc/resolv.conf "$root/etc/"
	cp "$1" "$root/tmp/synshard.deb"
	within "$root" apt-get -qq update
	within "$root" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y /tmp/synshard.deb >"$dir/log" 2>&1 || fail "$2: apt-get install: $(tail -5 "$dir/log")"
	# A network whose certificates are its own.
	[ -z "${SSL_CERT_FILE:-}" ] || cp -L "$SSL_CERT_FILE" "$root/etc/ssl/certs/ca-certificates.crt"
	rm -rf "$root/var/cache/apt" "$root/var/lib/apt/lists"
	within "$root" useradd --create-home tester
	for tool in gcc g++ cc make go python3; do
		! within "$root" sh -c "command -v $tool" || fail "$2: there is $tool: this proves less than it should"
	done

	# Before set-up doctor says what is missing, and what mends it; WordNet came with the package.
	local code=0
	user "$root" 'synshard doctor' >"$dir/doctor" || code=$?
	[ "$code" = 6 ] && grep -q 'to mend: run synshard setup' "$dir/doctor" || fail "$2: doctor before set-up: exit $code: $(cat "$dir/doctor")"
	grep -q '^ok *WordNet' "$dir/doctor" || fail "$2: no WordNet: $(cat "$dir/doctor")"
	user "$root" 'synshard --progress lines setup --cpu' >"$dir/log" 2>&1 || fail "$2: setup: $(tail -20 "$dir/log")"
	grep -q 'training engine *.*/usr/lib/synshard/libsynshard_torch' "$dir/log" || fail "$2: the engine is not the one that came along: $(cat "$dir/log")"
	user "$root" 'synshard doctor' >"$dir/doctor" || fail "$2: doctor: $(cat "$dir/doctor")"
	cat "$dir/doctor"
	user "$root" 'export SYNSHARD_PROGRESS=off
		synshard sample --out archives --train-per-synset 2 --val-per-synset 1 --test-images 8
		cd archives
		synshard ingest --train ILSVRC2012_img_train.tar --val ILSVRC2012_img_val.tar --devkit ILSVRC2012_devkit_t12.tar.gz --out ../dataset
		cd ..
		synshard train dataset --recipe demo --out run --epochs 2 --batch 8 --width 0.05 --set eval.size=75 --set eval.resize=75 --aux-weight 0
		synshard infer run/model.onnx dataset --split val --out val.parquet
		synshard eval val.parquet' >"$dir/log" 2>&1 || fail "$2: the road: $(tail -20 "$dir/log")"
	tail -3 "$dir/log"
	within "$root" sh -c 'test -s /usr/share/man/man1/synshard.1.gz && test -s /usr/share/bash-completion/completions/synshard && test -s /usr/share/doc/synshard/licences/libjpeg-turbo/copyright' || fail "$2: manual, completion or licences are missing"
	rm -rf --one-file-system "$root"
	echo "test-dist: $2: installed, set up, and the whole road gone by a user, without compilers or Python"
}

case ${1:-} in
same) same "${@:2}" ;;
install)
	[ "$(id -u)" = 0 ] && command -v debootstrap >/dev/null || fail "install needs root and debootstrap"
	[ $# -ge 2 ] || fail "which directory did dist.sh write?"
	deb=$(ls "$2"/*-"$(dpkg --print-architecture)".deb)
	(cd "$2" && sha256sum --quiet -c SHA256SUMS) || fail "$2 is not what SHA256SUMS says"
	# The package index that this machine's pip asks, where nothing is set: a bare Debian has no pip to ask.
	index=${PIP_INDEX_URL:-$(python3 -c 'from pip._internal.models.index import PyPI; print(PyPI.simple_url)')}
	shift 2
	[ $# -gt 0 ] || set -- bookworm trixie
	for suite in "$@"; do install_on "$deb" "$suite"; done
	;;
*) fail "want: install DIST [SUITE...], or same" ;;
esac
