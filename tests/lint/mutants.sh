#!/bin/bash
# Does every patch of tests/mutants still apply? (Whether the simulator finds them: tests/mutants.sh.)

# shellcheck source=tests/lint/lint.sh
. "$(dirname "$0")/lint.sh"

count=0
while read -r verdict name; do
	case $verdict in
	ok) count=$((count + 1)) ;;
	not) finding "tests/mutants/${name#ok }.patch:1" 'is no sentence and a diff of plugin/, agent/, common/ that applies' ;;
	esac
done < <(bash tests/mutants.sh --check)
printf 'mutants: %d patches apply\n' "$count"
[ "$count" -gt 0 ] || finding 'tests/mutants:0' 'no patch applies'
done_with mutants
