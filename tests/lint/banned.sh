#!/bin/bash
# Is anything called, or written, that the style rules out?

# shellcheck source=tests/lint/lint.sh
. "$(dirname "$0")/lint.sh"

text=$(mktemp) || exit 2
trap 'rm -f "$text"' EXIT
files=0
while read -r file; do
	files=$((files + 1))
	plain_c "$file" | awk -v file="$file" '{ print file ":" NR ":" $0 }' >>"$text"
	while IFS=: read -r line _; do
		finding "$file:$line" 'unfinished: finish it, or file an issue'
	done < <(grep -nE '\b(TODO|FIXME|XXX|HACK)\b' "$file")
done < <(sources common plugin agent tests)

rules=0
# ban WHERE EXCEPT PATTERN WHY: PATTERN in code (comments and strings are cut out) of the files
# whose path matches WHERE and not EXCEPT; all are of grep -E.
ban() {
	local hit file line rest
	rules=$((rules + 1))
	while IFS=: read -r file line rest; do
		[[ $file =~ $1 ]] || continue
		[[ $file =~ $2 ]] && continue
		hit=${rest#"${rest%%[![:space:]]*}"}
		finding "$file:$line" "$hit: $4"
	done < <(grep -E "^[^:]*:[0-9]+:(.*[^A-Za-z0-9_>.])?($3)" "$text")
}

# calls NAME...: a pattern for a call of one of them.
calls() {
	local IFS='|'
	printf '(%s)[[:space:]]*\\(' "$*"
}

ALL='.'
CODE='^(common|plugin|agent)/'
NONE='^$'
MAIN='^(agent|plugin/ctl)/main[a-z_]*\.c$'

ban "$CODE" "$NONE" "$(calls strcpy strcat stpcpy sprintf vsprintf strncpy strncat gets)" \
	'no bound, or no NUL: use snprintf, or memcpy with a checked length'
ban "$ALL" "$NONE" "$(calls strtok strtok_r atoi atol atoll atof sscanf)" \
	'parses without saying what was wrong'
ban "$ALL" "$NONE" "$(calls alloca strdupa strndupa)" 'the stack has no error path'
ban "$ALL" "$NONE" "$(calls system popen)" 'a shell sees the arguments: use posix_spawn'
ban "$ALL" "$NONE" "$(calls tmpnam mktemp tempnam)" 'a race: use mkstemp or mkdtemp'
ban "$ALL" "$NONE" '//' 'comments are /* */'
ban "$CODE" "$NONE" "$(calls rand srand random drand48 rand_r)" 'not random enough: kt_random'
ban "$CODE" "$NONE" "$(calls localtime gmtime ctime asctime strerror getpwnam getgrnam)" \
	'shared state: use the form with _r'
ban "$CODE" "^common/log\.c\$|^plugin/ctl/|$MAIN" \
	"$(calls printf fprintf vprintf vfprintf puts fputs putchar perror dprintf)" \
	'only log.c, main and keyturnctl print'
ban "$CODE" "$MAIN" "$(calls exit abort quick_exit)" 'only main ends the process'
ban "$CODE" '^common/secmem\.c$' "$(calls explicit_bzero memset_s bzero)" 'kt_wipe of secmem.h'
ban "$CODE" "$NONE" '(memcmp|bcmp|strcmp)[[:space:]]*\([^;]*(secret|private)' \
	'compare secrets with kt_ct_equal'
ban "$CODE" "$NONE" "$(calls setjmp longjmp vfork)" 'jumps over clean-up'

printf 'banned: %d files, %d rules\n' "$files" "$((rules + 1))"
[ "$files" -gt 0 ] || finding 'common:0' 'no source file found'
done_with banned
