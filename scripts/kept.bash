# Environments of Python with the libraries of others, which are kept for the next time; sourced.
#   kept_python NAME WANTED PACKAGE...   sets kept to one with these packages. Where it is not there it is made if WANTED is
#                                        not empty; else this fails
#   kept_readers TEST                    sets kept to the one with what reads datasets; where it is not there it is made if CI or
#                                        SYNSHARD_TEST_READERS=1 is set (some 700 MB), else TEST says so and ends
kept_python() {
	local name=$1 wanted=$2
	shift 2
	kept=${XDG_CACHE_HOME:-$HOME/.cache}/synshard/$name-$(printf '%s\n' "$@" | sha256sum | cut -c1-16)
	[ ! -e "$kept/done" ] || return 0
	[ -n "$wanted" ] || return 1
	rm -rf "$kept"
	# One chain: who calls this as a condition has switched off what ends a script at an error.
	python3 -m venv "$kept" && "$kept/bin/pip" install -q --disable-pip-version-check "$@" && touch "$kept/done" && return 0
	echo "$kept cannot be made" >&2
	exit 1
}
kept_readers() {
	kept_python readers "${CI:-}${SYNSHARD_TEST_READERS:-}" pyarrow==26.0.1 polars==2.1.0 duckdb==2.0.1 pandas==3.1.1 datasets==5.2.0 \
		pillow==13.0.0 numpy==2.4.6 mlcroissant==1.1.1 huggingface-hub==2.4.0 && return 0
	echo "$1: skipped: $kept is not there; SYNSHARD_TEST_READERS=1 makes it" >&2
	exit 0
}
