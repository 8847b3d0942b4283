#!/bin/bash
# Fuzzes every parser that has a target, one after the other, on one core, and prints a table of what came of it:
#   scripts/fuzz.sh [--time 4m] [--only REGEXP] [--log FILE]
# Run it niced where others work (nice -n 19 scripts/fuzz.sh). Go's cache keeps the corpus, so that a later run goes on
# from it; an input that fails is left in the package's testdata/fuzz/, where every `go test` tries it from then on.
# Exit 1 where anything was found.
set -u
cd "$(dirname "$0")/.."
time=4m only=. log=
while [ $# -gt 0 ]; do
	case $1 in
	--time) time=$2; shift 2 ;;
	--only) only=$2; shift 2 ;;
	--log) log=$2; shift 2 ;;
	*) sed -n '2,6p' "$0" >&2; exit 2 ;;
	esac
done
[ -w /dev/shm ] && export TMPDIR=/dev/shm # targets that try files wait for a disk otherwise
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
found=0
row() { printf '%s\n' "$1"; if [ -n "$log" ]; then printf '%s\n' "$1" >>"$log"; fi; }
row "| target | seconds | executions | corpus | new | findings |"
row "|---|---|---|---|---|---|"
while IFS=': ' read -r file _ target; do
	package=./$(dirname "$file")
	begun=$(date +%s)
	go test "$package" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 100x -parallel 1 >"$tmp/out" 2>&1
	failed=$?
	# "fuzz: elapsed: 9s, execs: 1234 (137/sec), new interesting: 5 (total: 60)"
	last=$(grep 'execs: ' "$tmp/out" | tail -1)
	execs=$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' <<<"$last")
	new=$(sed -n 's/.*new interesting: \([0-9]*\).*/\1/p' <<<"$last")
	total=$(sed -n 's/.*(total: \([0-9]*\)).*/\1/p' <<<"$last")
	what=none
	# Where the time is over within one execution, go says so as a failure.
	if [ $failed -ne 0 ] && ! { grep -q '^    context deadline exceeded' "$tmp/out" && ! grep -q 'Failing input' "$tmp/out"; }; then
		found=1
		what=$(sed -n 's/.*Failing input written to //p' "$tmp/out" | tail -1)
		what=${what:-did not run: $(grep -m1 -v '^fuzz:' "$tmp/out")}
		cat "$tmp/out" >&2
	fi
	row "| $package $target | $(($(date +%s) - begun)) | ${execs:-0} | ${total:-0} | ${new:-0} | $what |"
done < <(git grep -o '^func Fuzz[A-Za-z0-9]*' -- '*_test.go' | grep -E "$only")
exit $found
