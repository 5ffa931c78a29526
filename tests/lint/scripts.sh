#!/bin/bash
# Does shellcheck find anything in our shell scripts, and mandoc in our manual pages?

# shellcheck source=tests/lint/lint.sh
. "$(dirname "$0")/lint.sh"

count=0
while read -r file; do
	count=$((count + 1))
	while IFS=: read -r _ line rest; do
		finding "$file:$line" "${rest#*:}"
	done < <(shellcheck -x -f gcc "$file" | grep -E '^[^:]+:[0-9]+:')
done < <({
	find tests certs .ci -name '*.sh' -type f 2>/dev/null
	grep -lrE -m1 '^#!/(usr/)?bin/(env )?(ba)?sh' certs tests .ci 2>/dev/null
} | grep -v /build/ | sort -u)
printf 'scripts: %d shell scripts\n' "$count"
[ "$count" -gt 0 ] || finding 'tests:0' 'no script found'

count=0
while read -r file; do
	count=$((count + 1))
	while IFS=: read -r _ _ line _ rest; do
		finding "$file:$line" "$rest"
	done < <(mandoc -T lint -W warning "$file")
done < <(find docs -name '*.[1-9]' -type f 2>/dev/null | sort)
printf 'scripts: %d manual pages\n' "$count"
done_with scripts
