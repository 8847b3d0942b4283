#!/usr/bin/env bash
# Brings everything synshard needs that is not Go: a C++ compiler, libjpeg-turbo, WordNet 3.0, libtorch, ONNX Runtime
# and the training engine's shim. Uses what is there, downloads only what scripts/pins.txt names (checked by sha256),
# and needs root only to install a missing system package. Run it as often as you like.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'U'
usage: scripts/setup.sh [--torch DIR] [--cpu | --cuda] [--download]
  --torch DIR  use the PyTorch in DIR (the package's directory, with lib/ and include/); 2.9 or later
  --cpu        leave CUDA out even where there is an NVIDIA card
  --cuda       bring the CUDA libraries even where no card is seen
  --download   do not look for an installed PyTorch, take the pinned one
Libraries are kept in $XDG_CACHE_HOME/synshard (~/.cache/synshard), so that a second checkout downloads nothing.
U
}

torch_dir=${SYNSHARD_SETUP_TORCH:-} look=1 cuda=auto
while [ $# -gt 0 ]; do
	case $1 in
	--torch) [ $# -ge 2 ] || { usage >&2; exit 2; }; torch_dir=$2; shift ;;
	--cpu) cuda=no ;;
	--cuda) cuda=yes ;;
	--download) look=0 ;;
	-h | --help) usage; exit 0 ;;
	*) echo "setup: unknown argument $1" >&2; usage >&2; exit 2 ;;
	esac
	shift
done

started=$SECONDS
cache=${XDG_CACHE_HOME:-$HOME/.cache}/synshard
arch=$(uname -m)
say() { printf 'setup: %-14s %s\n' "$1" "$2"; }
die() { echo "setup: $*" >&2; exit 1; }
took() { echo "($((SECONDS - $1)) s)"; }

[ "$(uname -s)" = Linux ] || die "this script knows Linux only; see docs/SETUP.md for doing its steps by hand"
grep -q "^torch torch .* $arch " scripts/pins.txt || die "no pinned libtorch for machine type $arch; give --torch DIR"

# One set-up at a time: two would write the same files.
mkdir -p "$cache/lib" lib
exec 9>"$cache/setup.lock"
if command -v flock >/dev/null && ! flock -n 9; then
	say wait "another set-up is running"
	flock 9
fi

# System packages.
system_packages() {
	local began=$SECONDS missing=() d
	command -v g++ >/dev/null || missing+=(g++)
	if [ ! -e /usr/include/webp/demux.h ]; then missing+=(libwebp-dev); fi
	if [ ! -e /usr/include/jpeglib.h ] || ! compgen -G '/usr/lib*/libjpeg.a' >/dev/null && ! compgen -G '/usr/lib/*/libjpeg.a' >/dev/null; then
		missing+=(libjpeg-dev)
	fi
	if [ -z "${SYNSHARD_WORDNET:-}" ] && [ ! -e "$cache/lib/wordnet/data.noun" ]; then
		[ -e /usr/share/wordnet/data.noun ] || missing+=(wordnet-base)
	fi
	if [ ${#missing[@]} -eq 0 ]; then
		say system "g++ $(g++ -dumpversion), libjpeg-turbo, libwebp and WordNet are there"
		return
	fi
	command -v apt-get >/dev/null || die "missing: ${missing[*]} (Debian names); install them and run this again"
	local as=()
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || die "missing: ${missing[*]}; as root: apt-get install ${missing[*]}"
		as=(sudo)
	fi
	say system "installing ${missing[*]}"
	"${as[@]}" apt-get update -qq >/dev/null
	"${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
	say system "installed ${missing[*]} $(took $began)"
}

# fetch GROUP DIR PATTERN: downloads the group's wheels and unpacks the members that match PATTERN into DIR.
fetch() {
	local group=$1 dest=$2 pattern=$3 tmp platforms=() v
	command -v python3 >/dev/null && python3 -m pip --version >/dev/null 2>&1 || die "python3 with pip is needed to download wheels"
	mkdir -p "$dest"
	tmp=$(mktemp -d "$cache/download.XXXXXX")
	awk -v g="$group" -v a="$arch" '$1 == g && $4 == a {print $2 "==" $3 " --hash=sha256:" $5}' scripts/pins.txt >"$tmp/requirements.txt"
	[ -s "$tmp/requirements.txt" ] || die "scripts/pins.txt has nothing for $group on $arch"
	for v in manylinux1 manylinux2010 manylinux2014 manylinux_2_5 manylinux_2_12 manylinux_2_17 manylinux_2_18 manylinux_2_24 manylinux_2_25 manylinux_2_26 manylinux_2_27 manylinux_2_28; do
		platforms+=(--platform "${v}_$arch")
	done
	if ! python3 -m pip download --quiet --no-deps --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: \
		--python-version 3.12 --implementation cp --abi cp312 --abi none "${platforms[@]}" \
		--dest "$tmp" -r "$tmp/requirements.txt"; then
		rm -rf "$tmp"
		die "downloading $group (scripts/pins.txt): see pip's message above"
	fi
	python3 - "$tmp" "$dest" "$pattern" <<'P'
import pathlib, re, sys, zipfile
source, dest, pattern = pathlib.Path(sys.argv[1]), sys.argv[2], re.compile(sys.argv[3])
for wheel in sorted(source.glob("*.whl")):
    with zipfile.ZipFile(wheel) as z:
        members = [n for n in z.namelist() if pattern.match(n)]
        if not members:
            sys.exit(f"setup: {wheel.name}: nothing in it matches {pattern.pattern}")
        z.extractall(dest, members)
P
	rm -rf "$tmp"
}

# fetch_part GROUP DIR PATTERN: like fetch, for a group of one wheel of which most is not wanted (130 of libtorch's 530 MB
# without CUDA). Takes the whole wheel where the index does not serve parts.
fetch_part() {
	local name version record rc=0
	read -r name version record < <(awk -v g="$1" -v a="$arch" '$1 == g && $4 == a {print $2, $3, $6}' scripts/pins.txt)
	mkdir -p "$2"
	python3 scripts/fetch_wheel_part.py "$name" "$version" "$arch" "$record" "$3" "$2" || rc=$?
	case $rc in
	0) ;;
	3) say "$name" "taking the whole wheel"; fetch "$@" ;;
	*) die "downloading $name $version: see the message above" ;;
	esac
}

has_card() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; }

# check_torch DIR: says why DIR will not do, or nothing.
check_torch() {
	local v
	[ -e "$1/lib/libtorch_cpu.so" ] || { echo "no lib/libtorch_cpu.so in it"; return; }
	[ -e "$1/include/torch/csrc/api/include/torch/torch.h" ] || { echo "no C++ headers in it"; return; }
	v=$(torch_version "$1")
	[ -n "$v" ] || { echo "cannot tell its version"; return; }
	printf '%s\n2.9\n' "${v%%+*}" | sort -V | head -1 | grep -qx '2\.9' || echo "it is version $v, 2.9 or later is needed"
}

torch_version() { # from the headers, so that Python is not needed
	awk '$2 == "TORCH_VERSION_MAJOR" {a = $3} $2 == "TORCH_VERSION_MINOR" {b = $3} $2 == "TORCH_VERSION_PATCH" {c = $3}
		END {if (a != "") print a "." b "." c}' "$1"/include/torch/headeronly/version.h "$1"/include/torch/csrc/api/include/torch/version.h 2>/dev/null || true
}

libtorch() {
	local began=$SECONDS why found kind=cpu
	if [ "$cuda" = auto ]; then cuda=no; if has_card; then cuda=yes; fi; fi
	[ "$cuda" = no ] || kind=cuda
	if [ -n "$torch_dir" ]; then
		[ -d "$torch_dir/torch/lib" ] && torch_dir=$torch_dir/torch
		torch_dir=$(cd "$torch_dir" 2>/dev/null && pwd) || die "--torch: no such directory"
		why=$(check_torch "$torch_dir")
		[ -z "$why" ] || die "--torch $torch_dir: $why"
		say libtorch "$(torch_version "$torch_dir") in $torch_dir, as asked"
		return
	fi
	if [ $look = 1 ] && found=$(python3 -c 'import torch, os; print(os.path.dirname(torch.__file__))' 2>/dev/null); then
		why=$(check_torch "$found")
		if [ -z "$why" ] && [ $kind = cuda ] && [ ! -e "$found/lib/libtorch_cuda.so" ]; then why="it has no CUDA and there is a card"; fi
		if [ -z "$why" ]; then
			torch_dir=$found
			say libtorch "$(torch_version "$found") of the installed PyTorch, $found"
			return
		fi
		say libtorch "passing over the PyTorch in $found: $why"
	fi
	local version home
	version=$(awk -v a="$arch" '$1 == "torch" && $4 == a {print $3}' scripts/pins.txt)
	home=$cache/torch-$version-$kind
	torch_dir=$home/torch
	if [ -e "$home/whole" ]; then
		say libtorch "$version ($kind) is in $home"
		return
	fi
	say libtorch "downloading $version ($kind) into $home"
	rm -rf "$home"
	if [ $kind = cpu ]; then
		fetch_part torch "$home" 'torch\.libs/|torch/include/|torch/lib/(libc10|libtorch_cpu|lib(gomp|arm|openblas)[^/]*)\.so'
		fetch cpu "$home" 'nvidia/.*(\.so[.0-9]*|License.txt)$'
	else
		fetch torch "$home" 'torch(\.libs|/include|/lib)/'
		fetch cpu "$home" 'nvidia/'
		fetch cuda "$home" 'nvidia/'
	fi
	touch "$home/whole"
	say libtorch "downloaded, $(du -sh "$home" | cut -f1) $(took $began)"
}

onnxruntime() {
	local began=$SECONDS version home lib
	version=$(awk -v a="$arch" '$1 == "ort" && $4 == a {print $3}' scripts/pins.txt)
	home=$cache/onnxruntime-$version
	if [ -n "${ONNXRUNTIME_SHARED_LIBRARY_PATH:-}" ]; then
		say onnxruntime "$ONNXRUNTIME_SHARED_LIBRARY_PATH, as the environment says"
		return
	fi
	if [ ! -e "$home/whole" ]; then
		say onnxruntime "downloading $version into $home"
		rm -rf "$home"
		fetch ort "$home" 'onnxruntime/(capi/libonnxruntime[^/]*\.so.*|LICENSE|ThirdPartyNotices.txt)'
		touch "$home/whole"
		say onnxruntime "downloaded, $(du -sh "$home" | cut -f1) $(took $began)"
	else
		say onnxruntime "$version is in $home"
	fi
	lib=$(ls "$home"/onnxruntime/capi/libonnxruntime.so* | head -1)
	ln -sfn "$lib" lib/libonnxruntime.so
	ln -sfn "$lib" "$cache/lib/libonnxruntime.so"
}

# The shim is built when its sources, the build script or the libtorch have changed.
shim() {
	local began=$SECONDS stamp
	stamp=$({ echo "$torch_dir $(torch_version "$torch_dir")"; g++ --version | head -1
		cat scripts/build-shim.sh; find train/torch/shim -type f -print0 | sort -z | xargs -0 cat; } | sha256sum | cut -c1-64)
	if [ -e lib/libsynshard_torch.so ] && [ "$(cat lib/shim.stamp 2>/dev/null)" = "$stamp" ]; then
		say engine "lib/libsynshard_torch.so is up to date"
	else
		say engine "building lib/libsynshard_torch.so against $torch_dir"
		rm -f lib/shim.stamp
		scripts/build-shim.sh --torch "$torch_dir" --out lib/libsynshard_torch.so
		echo "$stamp" >lib/shim.stamp
		say engine "built $(took $began)"
	fi
	cp lib/libsynshard_torch.so "$cache/lib/.new.so" && mv "$cache/lib/.new.so" "$cache/lib/libsynshard_torch.so"
}

system_packages
libtorch
onnxruntime
shim
say done "in $((SECONDS - started)) s"
