#!/bin/bash
# Does every suppression of a static analyser in the product say why it is there, and which finding it means?
#
#   /* NOLINT(check): why */  /* NOLINTNEXTLINE(check): why */     clang-tidy
#   /* cppcheck-suppress id ; why */                               cppcheck, the line above the finding
#   /* analyzer-suppress -Wanalyzer-NAME ; why */                  gcc -fanalyzer, the line above (analyzer.sh)

# shellcheck source=tests/lint/lint.sh
. "$(dirname "$0")/lint.sh"

count=0
while IFS=: read -r file line text; do
	count=$((count + 1))
	case $text in
	*NOLINT*) wanted='NOLINT(NEXTLINE)?\([a-z0-9.,-]+\): .*[a-z] .*[a-z]' ;;
	*cppcheck-suppress*) wanted='cppcheck-suppress [a-zA-Z]+ ; [a-zA-Z].* .*[a-z]' ;;
	*analyzer-suppress*) wanted='analyzer-suppress -Wanalyzer-[a-z-]+ ; [a-zA-Z].* .*[a-z]' ;;
	*) wanted='$^' ;;
	esac
	grep -qE "$wanted" <<<"$text" || finding "$file:$line" "suppresses without saying what and why: ${text#"${text%%[![:space:]]*}"}"
done < <(sources common plugin agent | xargs grep -nE \
	'NOLINT|cppcheck-suppress|analyzer-suppress|# *pragma +(GCC|clang) +(diagnostic|system_header)|no_sanitize' /dev/null)
# a whole project's worth of warnings is not put out in passing either
while IFS=: read -r file line text; do
	[[ $text == *-Wno-unused-command-line-argument* ]] || finding "$file:$line" "puts a warning out: $text"
	count=$((count + 1))
done < <(grep -nE -- '-Wno-[a-z]' CMakeLists.txt /dev/null)
printf 'suppressions: %d, each with its reason\n' "$count"
done_with suppressions
