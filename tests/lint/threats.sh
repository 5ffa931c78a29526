#!/bin/bash
# docs/THREATS.md: has every threat its rule, its code and its tests, and does each function and test that it names exist?

# shellcheck source=tests/lint/lint.sh
. "$(dirname "$0")/lint.sh"

page=docs/THREATS.md
THREATS=24
[ -r "$page" ] || {
	finding "$page:0" 'is not there'
	done_with threats
}

# "LINE SECTION PARAGRAPH TOKEN": every `token` behind Code: or Tests:, and the paragraphs themselves.
tokens=$(awk '
	/^## / { section = $2 + 0; if (section != last + 1) print NR, 0, "Order", $2; last = section; paragraph = ""; next }
	/^(Rule|Code|Tests|Open): / { paragraph = $1; sub(":", "", paragraph); print NR, section, paragraph, "-" }
	/^$/ { paragraph = "" }
	paragraph == "Code" || paragraph == "Tests" {
		line = $0
		while (match(line, /`[^`]+`/)) {
			print NR, section, paragraph, substr(line, RSTART + 1, RLENGTH - 2)
			line = substr(line, RSTART + RLENGTH)
		}
	}' "$page")

defines() { # FILE NAME: a function of that name begins in the file
	grep -qE "^[a-z][^;=]*[ *]$2\([^;]*$|^$2\(" "$1"
}

count=0
while read -r line section paragraph token; do
	case $paragraph in
	Order) finding "$page:$line" "section $token is out of order" ;;
	Code | Tests)
		[ "$token" != - ] || continue
		count=$((count + 1))
		file=${token%%:*}
		case $paragraph:$token in
		Tests:mutant\ *) [ -e "tests/mutants/${token#mutant }.patch" ] || finding "$page:$line" "no such mutant: ${token#mutant }" ;;
		Code:plugin/*:* | Code:agent/*:* | Code:common/*:*)
			if [ ! -e "$file" ]; then
				finding "$page:$line" "no such file: $file"
			elif ! defines "$file" "${token#*:}"; then
				finding "$page:$line" "no such function in $file: ${token#*:}"
			fi
			;;
		Tests:tests/*:*)
			if [ ! -e "$file" ]; then
				finding "$page:$line" "no such file: $file"
			elif ! grep -qE "^static void ${token#*:}\(void \*\*" "$file"; then
				finding "$page:$line" "no such test in $file: ${token#*:}"
			fi
			;;
		Tests:tests/*) [ -e "$file" ] || finding "$page:$line" "no such file: $file" ;;
		*) finding "$page:$line" "is neither code nor a test: $token" ;;
		esac
		;;
	esac
done <<<"$tokens"
for ((section = 1; section <= THREATS; section++)); do
	for paragraph in Rule Code Tests; do
		grep -qE "^[0-9]+ $section $paragraph -$" <<<"$tokens" || finding "$page:0" "threat $section has no $paragraph"
	done
	for paragraph in Code Tests; do
		grep -qE "^[0-9]+ $section $paragraph [^-]" <<<"$tokens" || finding "$page:0" "threat $section names no $paragraph"
	done
done
[ "$(grep -c '^## ' "$page")" -eq "$THREATS" ] || finding "$page:0" "has not $THREATS threats"
printf 'threats: %d, %d places and tests\n' "$THREATS" "$count"
done_with threats
