#!/bin/bash
# Does cppcheck find anything in the product? Half a minute of one core: not in the normal run.
# usage: cppcheck.sh BUILD_DIR

# shellcheck source=tests/lint/lint.sh
. "$(dirname "$0")/lint.sh"
need_build "$@"
[ -r "$BUILD/compile_commands.json" ] || {
	finding "$BUILD/compile_commands.json:0" 'not there: configure first'
	done_with cppcheck
}
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

# What is put out for all files:
#   variableScope         a matter of taste that nothing follows from
#   funcArgNamesDifferent clang-tidy asks the same and knows short forms (readability-inconsistent-…)
#   missingInclude*       system headers are not looked for
ids=(variableScope funcArgNamesDifferent missingInclude missingIncludeSystem)

# The product's entries, one a file: tests and their own builds of our files are left out.
count=$(/usr/bin/python3 -B - "$BUILD/compile_commands.json" "$work/compile_commands.json" "$ROOT" <<'PY'
import json, sys
source, target, root = sys.argv[1:]
entries = {}
for entry in json.load(open(source)):
    name = entry["file"]
    if name.startswith(tuple(f"{root}/{part}/" for part in ("common", "plugin", "agent"))):
        entries.setdefault(name, entry)
json.dump(list(entries.values()), open(target, "w"))
print(len(entries))
PY
)
[ "$count" -gt 0 ] || finding "$BUILD/compile_commands.json:0" 'names no file of ours'
# A suppression that suppresses nothing is a finding, too ("information").
# checkersReport: later releases count their checkers there
while IFS= read -r line; do
	case $line in
	*': '*': '*) FINDINGS=$((FINDINGS + 1)) ;;
	*) continue ;;
	esac
	printf '%s\n' "${line#"$ROOT/"}"
done < <(cppcheck --project="$work/compile_commands.json" --quiet --inline-suppr --inconclusive -j "$(nproc)" \
	--enable=warning,style,performance,portability,information "${ids[@]/#/--suppress=}" \
	--template='{file}:{line}: {id}: {message}' 2>&1 | grep -vE '^nofile:0: (unmatchedSuppression|checkersReport):' | sort -u)
printf 'cppcheck: %d files\n' "$count"
done_with cppcheck
