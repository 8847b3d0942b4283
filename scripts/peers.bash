# Python with the libraries of others that tests hold files to; sourced.
#   peers NAME   sets kept to its environment; where it is not there it is made if CI or SYNSHARD_TEST_READERS=1 is set
#                (some 700 MB), else the test that NAME calls for says so and ends
peer_libraries=(pyarrow==26.0.1 polars==2.1.0 duckdb==2.0.1 pandas==3.1.1 datasets==5.2.0 pillow==13.0.0 numpy==2.4.6
	mlcroissant==1.1.1 huggingface-hub==2.4.0)
peers_npm=$(cd "$(dirname "${BASH_SOURCE[0]}")/../examples/readers" && pwd)
peers() {
	kept=${XDG_CACHE_HOME:-$HOME/.cache}/synshard/readers-$(printf '%s\n' "${peer_libraries[@]}" | cat - "$peers_npm/package-lock.json" | sha256sum | cut -c1-16)
	[ ! -e "$kept/done" ] || return 0
	if [ -z "${CI:-}${SYNSHARD_TEST_READERS:-}" ]; then
		echo "$1: skipped: $kept is not there; SYNSHARD_TEST_READERS=1 makes it" >&2
		exit 0
	fi
	rm -rf "$kept"
	python3 -m venv "$kept"
	"$kept/bin/pip" install -q --disable-pip-version-check "${peer_libraries[@]}"
	if command -v npm >/dev/null; then
		cp "$peers_npm/package.json" "$peers_npm/package-lock.json" "$kept/"
		(cd "$kept" && npm ci --ignore-scripts --no-audit --no-fund --silent)
	fi
	touch "$kept/done"
}
