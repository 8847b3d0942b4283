# Sourced by benches, with $here set.

# options NAMES ARGS...: --NAME VALUE sets the variable NAME, of those in NAMES; what is no option is in rest. -h prints what
# the bench says of itself at its beginning.
options() {
	local names=" $1 "
	shift
	rest=()
	while [ $# -gt 0 ]; do
		case $1 in
		-h | --help) usage; exit 0 ;;
		--*)
			[[ $names = *" ${1#--} "* && $# -ge 2 ]] || refuse
			printf -v "${1#--}" %s "$2"
			shift ;;
		-*) refuse ;;
		*) rest+=("$1") ;;
		esac
		shift
	done
}
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
refuse() { usage >&2; exit 2; }
