#!/bin/bash
# Does clang-tidy find anything? Every file of the build's compile_commands.json but the tests.
# What was clean stays clean until it, a header of ours that it includes, its flags, .clang-tidy or
# this script change: the build directory keeps one stamp per file.
# Without clang-analyzer-*, which follow every path, or with "analyzer" these alone.
# usage: tidy.sh BUILD_DIR [analyzer]

# shellcheck source=tests/lint/lint.sh
. "$(dirname "$0")/lint.sh"
need_build "$1"
name=tidy checks='-clang-analyzer-*'
if [ "${2-}" = analyzer ]; then
	name=clang_analyzer
	checks=$(tr -d ' \n' <.clang-tidy | grep -oE -- ',-?clang-analyzer-[A-Za-z.*]+' | tr -d '\n')
	checks="-*$checks"
fi
[ -r "$BUILD/compile_commands.json" ] || {
	finding "$BUILD/compile_commands.json:0" 'not there: configure first'
	done_with "$name"
}
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
# clang refuses some of gcc's flags; none of them matters here.
sed -E 's/ -(ftrivial-auto-var-init=zero|Werror|Wlogical-op|Wduplicated-(cond|branches)|Wjump-misses-init|Wformat-(overflow|truncation)=2|Wstringop-overflow=4|Wtrampolines)//g' \
	"$BUILD/compile_commands.json" >"$work/compile_commands.json"
mkdir -p "$BUILD/tidy"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
world=$({
	clang-tidy --version
	printf '%s\n' "$checks"
	cat .clang-tidy "$here/tidy.sh"
} | sha256sum)
# FILE<tab>COMMAND, without the escapes of JSON and without the output file.
sed -nE '/"command":/ { s/^.*"command": "(.*)", *$/\1/; s/\\(.)/\1/g; s/ -o [^ ]+//; h; }
	/"file":/ { s/^.*"file": "(.*)".*$/\1/; G; s/\n/\t/; p; }' \
	"$BUILD/compile_commands.json" >"$work/commands"

# What the file's findings depend on: its commands, and what of the tree it includes, itself too.
depends() { # FILE
	local command
	while IFS=$'\t' read -r _ command; do
		printf '%s\n' "$command"
		bash -c "$command -MM -MF /dev/stdout" 2>&1 | tr -s ' \\\n' '\n' | grep '^/.*\.[ch]$' |
			sort -u | xargs cat
	done < <(grep -F "$ROOT/$1"$'\t' "$work/commands")
}

tidy_one() { # FILE
	local stamp out
	stamp=$BUILD/tidy/$({
		printf '%s\n' "$world" "$1"
		cat "$1"
		depends "$1"
	} | sha256sum | cut -c1-40)
	[ -e "$stamp" ] && return
	if out=$(clang-tidy --quiet -p "$work" --checks="$checks" --extra-arg=-Wno-unknown-warning-option "$1" 2>"$work/err.$$.${1//\//_}") &&
		! grep -qE '(warning|error):' <<<"$out"; then
		: >"$stamp"
	else
		printf '%s\n' "$out" | grep -E '(warning|error):' || cat "$work/err.$$.${1//\//_}"
	fi
}
export -f tidy_one depends
export BUILD ROOT world work checks

files=$(sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' "$work/compile_commands.json" | sort -u)
count=0
todo=()
for file in $files; do
	file=${file#"$ROOT/"}
	case $file in
	common/*.c | plugin/*.c | agent/*.c)
		count=$((count + 1))
		todo+=("$file")
		;;
	esac
done
if [ "$count" -gt 0 ]; then
	while read -r line; do
		FINDINGS=$((FINDINGS + 1))
		printf '%s\n' "${line#"$ROOT/"}"
	done < <(printf '%s\n' "${todo[@]}" | xargs -P "$(nproc)" -I{} bash -c 'tidy_one {}' | sort -u)
else
	finding "$BUILD/compile_commands.json:0" 'names no file of ours'
fi
# Files that no target builds are checked by nobody.
while read -r file; do
	printf '%s\n' "$files" | grep -qxF "$ROOT/$file" || finding "$file:1" 'is in no target of CMakeLists.txt'
done < <(find common plugin agent -name '*.c' -type f 2>/dev/null | sort)
printf '%s: %d files\n' "$name" "$count"
done_with "$name"
