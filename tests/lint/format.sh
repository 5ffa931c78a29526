#!/bin/bash
# Is every C file as clang-format would write it?

# shellcheck source=tests/lint/lint.sh
. "$(dirname "$0")/lint.sh"

count=0
while read -r file; do
	count=$((count + 1))
	while IFS=: read -r path line _; do
		finding "${path#"$ROOT/"}:$line" 'not formatted: clang-format -i'
	done < <(clang-format --dry-run "$file" 2>&1 | grep -E '^[^ ]+:[0-9]+:[0-9]+: warning' |
		sort -t: -k2,2n -u)
	while IFS=: read -r line _; do
		finding "$file:$line" 'too long: 600 lines are the limit, 1200 in tests'
	done < <(awk -v limit="$([[ $file == tests/* ]] && echo 1200 || echo 600)" \
		'END { if (NR > limit) print NR ":" }' "$file")
done < <(sources common plugin agent tests)
printf 'format: %d files, %s\n' "$count" "$(clang-format --version)"
[ "$count" -gt 0 ] || finding 'common:0' 'no source file found'
done_with format
