#!/bin/bash
# Do the built files have what the flags promise? Read out of the files, not out of the flags.
# usage: hardening.sh BUILD_DIR (a build without sanitizers)

# shellcheck source=tests/lint/lint.sh
. "$(dirname "$0")/lint.sh"
need_build "$@"

expect() { # FILE WHAT REGEX TEXT: a line of TEXT matches
	grep -qE -e "$3" <<<"$4" || finding "$1:0" "no $2"
}
expect_not() {
	! grep -qE -e "$3" <<<"$4" || finding "$1:0" "$2"
}

check_file() { # FILE program|library FUNCTION
	local header segments dynamic symbols
	header=$(readelf -hW "$1")
	segments=$(readelf -lW "$1")
	dynamic=$(readelf -dW "$1")
	symbols=$(nm -D --undefined-only "$1")
	expect "$1" 'GNU_RELRO segment' 'GNU_RELRO' "$segments"
	expect "$1" 'BIND_NOW (full RELRO)' 'BIND_NOW|FLAGS_1.*NOW' "$dynamic"
	expect "$1" 'GNU_STACK segment' 'GNU_STACK' "$segments"
	expect_not "$1" 'an executable stack' 'GNU_STACK.*RWE' "$segments"
	expect_not "$1" 'a segment that is writable and executable' 'LOAD.* RWE ' "$segments"
	expect_not "$1" 'a run-time search path' '\((RPATH|RUNPATH)\)' "$dynamic"
	expect_not "$1" 'text relocations' 'TEXTREL' "$dynamic"
	expect "$1" 'stack protector (__stack_chk_fail is not used)' '__stack_chk_fail' "$symbols"
	expect "$1" 'fortified call (no *_chk is used)' '_chk(@|$)' "$(grep -v __stack_chk_fail <<<"$symbols")"
	expect "$1" 'ELF file of type DYN (PIE or library)' 'Type: +DYN' "$header"
	[ "$2" = library ] || expect "$1" 'PIE flag' 'FLAGS_1.*PIE' "$dynamic"
	if grep -q 'X86-64' <<<"$header"; then
		# Not the CET note: the linker drops it because of the C library's start-up files.
		expect "$1" "endbr64 at the start of $3 (-fcf-protection)" endbr64 \
			"$(objdump -d --no-show-raw-insn --disassemble="$3" "$1" | grep -A1 "<$3>:")"
	fi
}

count=0
for name in mosquitto_keyturn.so keyturn-agent keyturnctl; do
	file=$(built "$name")
	if [ -z "$file" ]; then
		finding "$BUILD/$name:0" 'not built'
		continue
	fi
	count=$((count + 1))
	case $name in
	*.so) check_file "$file" library mosquitto_plugin_init ;;
	*) check_file "$file" program main ;;
	esac
done
printf 'hardening: %d files\n' "$count"
done_with hardening
