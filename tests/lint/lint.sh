# lint.sh - what the lint scripts share. To be sourced by bash.
#
# A script checks the tree it lies in, or the one that KT_LINT_ROOT names (the self-test seeds
# violations into a copy). Each prints what it checked, and one line per finding: file:line: why.
# shellcheck shell=bash
# shellcheck disable=SC2034

ROOT=${KT_LINT_ROOT:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
FINDINGS=0
cd "$ROOT" || exit 2
export LC_ALL=C

finding() { # FILE:LINE TEXT
	FINDINGS=$((FINDINGS + 1))
	printf '%s: %s\n' "$1" "$2"
}

# sources FOLDER...: the C files below them, one a line, sorted.
sources() {
	find "$@" -name '*.[ch]' -type f 2>/dev/null | sort
}

# The C text of a file without comments and with empty string literals, line for line.
plain_c() {
	awk '
	{
		line = $0; out = ""
		while (line != "") {
			if (inside) {
				n = index(line, "*/")
				if (n == 0) { line = ""; break }
				line = substr(line, n + 2); inside = 0
				continue
			}
			c = substr(line, 1, 1)
			if (substr(line, 1, 2) == "/*") { inside = 1; line = substr(line, 3); out = out " "; continue }
			if (substr(line, 1, 2) == "//") { out = out "//"; break }
			if (c == "\"" && match(line, /^"([^"\\]|\\.)*"/)) { out = out "\"\""; line = substr(line, RLENGTH + 1); continue }
			if (c == "\047" && match(line, /^\047([^\047\\]|\\.)+\047/)) { out = out "0"; line = substr(line, RLENGTH + 1); continue }
			out = out c; line = substr(line, 2)
		}
		print out
	}' "$1"
}

# done_with WHAT: the last line of a script and its exit code.
done_with() {
	printf '%s: %d findings\n' "$1" "$FINDINGS"
	[ "$FINDINGS" -eq 0 ]
	exit
}

# need_build BUILD: the directory with the built files, absolute, in $BUILD.
need_build() {
	if [ -z "${1-}" ] || [ ! -d "$1" ]; then
		printf 'usage: %s BUILD_DIR (a directory with built files)\n' "$0" >&2
		exit 2
	fi
	BUILD=$(cd "$1" && pwd)
}

# built NAME: the path of a built file, wherever the build put it; a finding if there is none.
built() {
	find "$BUILD" -name "$1" -type f -not -path '*/CMakeFiles/*' | head -n 1
}
