#!/bin/bash
# Does gcc -fanalyzer find anything? Every file of the product, as the build compiles it. Minutes of both
# cores the first time: not in the normal run. What was clean stays clean until it, a header of ours, its
# flags or this script change: the build directory keeps one stamp per file.
#
# A finding that is wrong is put out on the line above it, and a suppression that puts nothing out is a finding:
#     /* analyzer-suppress -Wanalyzer-malloc-leak ; why */
# usage: analyzer.sh BUILD_DIR

# shellcheck source=tests/lint/lint.sh
. "$(dirname "$0")/lint.sh"
need_build "$@"
[ -r "$BUILD/compile_commands.json" ] || {
	finding "$BUILD/compile_commands.json:0" 'not there: configure first'
	done_with analyzer
}
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
mkdir -p "$BUILD/analyzer"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# FILE<tab>COMMAND, without the output file and without warnings as errors; a file once.
/usr/bin/python3 -B - "$BUILD/compile_commands.json" "$ROOT" >"$work/commands" <<'PY'
import json, re, sys
source, root = sys.argv[1:]
seen = set()
for entry in json.load(open(source)):
    name = entry["file"]
    if name in seen or not name.startswith(tuple(f"{root}/{part}/" for part in ("common", "plugin", "agent"))):
        continue
    seen.add(name)
    # any compiler's command as gcc's, and no warnings but the analyser's, which are on by default
    command = re.sub(r" -o \S+| -W[a-z]\S*|^\S*ccache ", "", entry["command"])
    command = re.sub(r"^\S+", "gcc", command)
    print(name[len(root) + 1:], command, sep="\t")
PY

analyze_one() { # FILE<tab>COMMAND: its findings
	local file=${1%%$'\t'*} command=${1#*$'\t'} stamp out=$work/${1//[!a-zA-Z0-9]/_}
	out=${out:0:200}
	stamp=$BUILD/analyzer/$({
		gcc --version
		cat "$0" "$file"
		printf '%s\n' "$command"
		bash -c "$command -MM -MF /dev/stdout" 2>&1 | tr -s ' \\\n' '\n' | grep '^/.*\.[ch]$' | sort -u | xargs cat
	} | sha256sum | cut -c1-40)
	[ ! -e "$stamp" ] || return 0
	bash -c "$command -o /dev/null -fanalyzer -fdiagnostics-plain-output" >"$out" 2>&1 ||
		{ printf '%s:0: does not compile: %s\n' "$file" "$(grep -m 1 error "$out")"; return 0; }
	# Lines that suppress, and those of findings without one that names theirs.
	awk -v file="$file" '
		NR == FNR { if (match($0, /analyzer-suppress -W[a-z-]+/)) why[FNR] = substr($0, RSTART + 18, RLENGTH - 18); next }
		/warning: .*\[-Wanalyzer-/ {
			split($0, part, ":")
			match($0, /-Wanalyzer-[a-z-]+/)
			id = substr($0, RSTART, RLENGTH)
			if (why[part[2] - 1] == id) used[part[2] - 1] = 1
			else print
		}
		END { for (line in why) if (why[line] != "" && !used[line]) print file ":" line ": suppresses nothing: " why[line] }
	' "$file" "$out" >"$out.findings"
	[ -s "$out.findings" ] || : >"$stamp"
	cat "$out.findings"
}
export -f analyze_one
export BUILD ROOT work

count=$(wc -l <"$work/commands")
[ "$count" -gt 0 ] || finding "$BUILD/compile_commands.json:0" 'names no file of ours'
# shellcheck disable=SC2016 # the inner shell's
while IFS= read -r line; do
	FINDINGS=$((FINDINGS + 1))
	printf '%s\n' "${line#"$ROOT/"}"
done < <(xargs -r -d '\n' -P "$(nproc)" -I{} bash -c 'analyze_one "$1"' "$here/analyzer.sh" {} <"$work/commands" | sort -u)
printf 'analyzer: %d files\n' "$count"
done_with analyzer
