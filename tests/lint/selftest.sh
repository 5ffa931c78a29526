#!/bin/bash
# Can each lint rule fail? Seeds one violation of each kind into a small tree of its own and
# expects the script to name its file and line; and expects none before the seed.

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/lint/lint.sh
. "$here/lint.sh"
config=$ROOT
T=$(mktemp -d) || exit 2
trap 'rm -rf "$T"' EXIT
cd "$T" || exit 2
count=0

fresh() {
	rm -rf "$T/tree"
	mkdir -p "$T"/tree/{common,plugin/ctl,plugin/store,agent,tests,docs,certs,build}
	cd "$T/tree" || exit 2
	cp "$config/.clang-format" "$config/.clang-tidy" "$config/.shellcheckrc" .
	printf '#ifndef KT_A_H\n#define KT_A_H\n\nint kt_a(int x);\n\n#endif\n' >common/a.h
	printf '#ifndef KT_P_H\n#define KT_P_H\n\nint kt_p(int x);\n\n#endif\n' >plugin/p.h
	printf '#ifndef KT_G_H\n#define KT_G_H\n\nint kt_g(int x);\n\n#endif\n' >agent/g.h
	printf '#include "a.h"\n\n#include <string.h>\n\nint kt_a(int x)\n{\n\treturn x;\n}\n' >common/a.c
	printf '#include "p.h"\n\n#include "a.h"\n\nint kt_p(int x)\n{\n\treturn kt_a(x); /* strcpy(x); exit(1) */\n}\n' >plugin/p.c
	printf '#include "g.h"\n\n#include "a.h"\n\nint kt_g(int x)\n{\n\treturn kt_a(x);\n}\n' >agent/g.c
	printf '#!/bin/sh\necho x\n' >tests/t.sh
	printf '.Dd November 22, 2026\n.Dt T 8\n.Os\n.Sh NAME\n.Nm t\n.Nd test\n' >docs/t.8
	for f in common/a plugin/p agent/g; do
		printf '{"directory": "%s", "command": "gcc -I%s/common -I%s -c %s/%s.c",\n "file": "%s/%s.c"\n}\n' \
			"$PWD" "$PWD" "$PWD/${f%/*}" "$PWD" "$f" "$PWD" "$f"
	done | awk 'BEGIN { print "[" } /^\{/ && NR > 1 { print "," } { print } END { print "]" }' |
		sed 's/^ "file"/  "file"/' >build/compile_commands.json
}

# expect SCRIPT FILE:LINE TEXT: the script fails and one finding has both.
expect() {
	local out
	count=$((count + 1))
	if out=$(KT_LINT_ROOT=$T/tree bash "$here/$1.sh" "$T/tree/build" 2>&1); then
		finding "tests/lint/$1.sh:0" "accepts a tree with: $2 $3"
	elif ! grep -F -e "$2" <<<"$out" | grep -qF -e "$3"; then
		finding "tests/lint/$1.sh:0" "does not say '$2 … $3' but: $out"
	fi
}

clean() { # SCRIPT: accepts the tree as it is
	local out
	count=$((count + 1))
	out=$(KT_LINT_ROOT=$T/tree bash "$here/$1.sh" "$T/tree/build" 2>&1) ||
		finding "tests/lint/$1.sh:0" "refuses a clean tree: $out"
}

# --- sources
fresh
for script in boundaries banned format scripts suppressions tidy cppcheck analyzer clang_analyzer; do
	clean "$script"
done

include() { # FILE INCLUDE-LINE
	fresh
	mkdir -p "$(dirname "$1")"
	printf '%s\n' "$2" >"$1"
	expect boundaries "$1:1" "${3-}"
}
include common/b.c '#include "p.h"' 'is not in common'
include common/b.c '#include "g.h"' 'is not in common'
include plugin/b.c '#include "g.h"' 'is not in common or plugin'
include agent/b.c '  #  include "p.h"' 'is not in common or agent'
include agent/b.c '#include "../plugin/p.h"' 'name the header without'
include plugin/core/core.c '#include <mosquitto_broker.h>' 'belongs into plugin/plugin_mosquitto'
include plugin/core/core.c '#include <mosquitto.h>' 'belongs into'
include plugin/core/core.c '#include <openssl/x509.h>' 'belongs into'
include agent/transport/transport_paho.c '#include <openssl/ssl.h>' 'belongs into'
include agent/agent.c '#include <MQTTClient.h>' 'belongs into agent/transport/transport_paho.c'
include agent/agent.c '#include "MQTTAsync.h"' 'belongs into agent/transport/transport_paho.c'
include common/b.c '#include <cjson/cJSON.h>' 'belongs into common/json.c'
include common/message/jws.c '#include <wolfssl/wolfcrypt/ecc.h>' 'belongs into common/crypto/crypto_wolfssl'
include common/crypto/crypto_wolfssl.c '#include <wolfssl/openssl/ssl.h>' 'no file at all'
include plugin/registry/registry.c '#include <sqlite3.h>' 'belongs into plugin/store/index_sqlite'
include plugin/core/core.c '#include <systemd/sd-daemon.h>' 'belongs into agent'
include plugin/core/core.c '#include HEADER' 'hides a dependency'

code() { # FILE CODE TEXT
	fresh
	mkdir -p "$(dirname "$1")"
	printf 'int kt_x;\n%s\n' "$2" >"$1"
	expect banned "$1:2" "${3-}"
}
for call in strcpy strcat sprintf strncpy strtok atoi gets alloca system popen rand localtime \
	sscanf exit abort printf fprintf explicit_bzero longjmp mktemp; do
	code common/b.c "	$call(x);" "$call(x)"
done
code common/b.c '	if (memcmp(secret, x, 4) == 0)' 'kt_ct_equal'
code common/b.c 'int x; // why' 'comments are'
code common/b.c '/* TODO later */' 'unfinished'
code common/b.c '	f("a"); exit(1);' 'only main'
code tests/test_b.c '	n = atoi(x);' 'without saying'
code plugin/ctl/list.c '	exit(1);' 'only main'

fresh
printf 'int kt_x(void);\nint kt_x(void) { return 1; }\n' >common/b.c
expect format common/b.c:2 'not formatted'
fresh
yes '' | head -n 601 >common/b.c
expect format common/b.c:601 'too long'
fresh
# shellcheck disable=SC2016
printf '#!/bin/sh\nrm $1\n' >tests/t.sh
expect scripts tests/t.sh:2 'SC2086'
fresh
# shellcheck disable=SC2016
printf '#!/bin/bash\nrm $1\n' >certs/tool
expect scripts certs/tool:2 'SC2086'
fresh
printf '.Bl\n' >>docs/t.8
expect scripts docs/t.8:7 'Bl'
fresh
printf '#include "a.h"\n\n#include <stdlib.h>\n\nint kt_a(int x)\n{\n\tchar *p = malloc(4);\n\treturn x + (p == NULL);\n}\n' >common/a.c
expect clang_analyzer common/a.c:8 'leak'
clean tidy
# what was clean is looked at again once a header, a flag or a rule changes
fresh
clean tidy
printf 'int KtBad(int x);\n' >>common/a.h
expect tidy common/a.h:7 'KtBad'
fresh
printf '#include "a.h"\n\nint kt_a(int x)\n{\n#ifdef X\n\treturn x / X;\n#else\n\treturn x;\n#endif\n}\n' >common/a.c
clean clang_analyzer
sed -i 's/ -c / -DX=0 -c /' build/compile_commands.json
expect clang_analyzer common/a.c:6 'zero'
fresh
printf '#include "a.h"\n\nint kt_a(int x)\n{\n\tint Bad = x;\n\n\treturn Bad;\n}\n' >common/a.c
sed -i '/VariableCase/d' .clang-tidy
clean tidy
cp "$config/.clang-tidy" .
expect tidy common/a.c:5 'Bad'
fresh
printf 'int kt_y;\n' >agent/stray.c
expect tidy agent/stray.c:1 'in no target'


# --- suppressions, and what they suppress
for text in '/* NOLINT */' '/* NOLINT(bugprone-x) */' '/* NOLINTNEXTLINE: it is fine */' \
	'/* cppcheck-suppress nullPointer */' '/* analyzer-suppress -Wanalyzer-malloc-leak */' \
	'#pragma GCC diagnostic ignored "-Wshadow"'; do
	fresh
	printf 'int kt_x;\n%s\n' "$text" >common/b.c
	expect suppressions common/b.c:2 'without saying what and why'
done
fresh
printf 'add_compile_options(-Wno-shadow)\n' >CMakeLists.txt
expect suppressions CMakeLists.txt:1 'puts a warning out'
leak() { # BEFORE: a function that leaks where it returns
	printf '#include "a.h"\n\n#include <stdlib.h>\n\nint kt_a(int x)\n{\n\tchar *p = malloc(4);\n%s\treturn x + (p == NULL);\n}\n' \
		"${1-}" >common/a.c
}
fresh
leak
expect analyzer common/a.c:8 'Wanalyzer-malloc-leak'
expect cppcheck common/a.c:8 'memleak'
fresh
leak $'\t/* analyzer-suppress -Wanalyzer-malloc-leak ; this is a test */\n'
clean analyzer
fresh
printf '#include "a.h"\n\n/* analyzer-suppress -Wanalyzer-malloc-leak ; not there */\nint kt_a(int x)\n{\n\treturn x;\n}\n' >common/a.c
expect analyzer common/a.c:3 'suppresses nothing'
fresh
printf '#include "a.h"\n\n/* cppcheck-suppress nullPointer ; not there */\nint kt_a(int x)\n{\n\treturn x;\n}\n' >common/a.c
expect cppcheck common/a.c:4 'unmatchedSuppression'

# --- threats
page() { # a page of 24 threats, all the same
	fresh
	mkdir -p tests/unit tests/mutants
	: >tests/mutants/m.patch
	printf 'static void t(void **state)\n{\n}\n' >tests/unit/test_a.c
	for i in {1..24}; do
		# shellcheck disable=SC2016 # it is the page's mark
		printf '## %d. X\n\nRule: r.\n\nCode: `common/a.c:kt_a`\n\nTests: `tests/t.sh`, `tests/unit/test_a.c:t`,\n`mutant m`\n\n' "$i"
	done >docs/THREATS.md
}
page
clean threats
page && sed -i '5s/kt_a/kt_b/' docs/THREATS.md
expect threats docs/THREATS.md:5 'no such function in common/a.c: kt_b'
page && sed -i '7s/c:t/c:u/' docs/THREATS.md
expect threats docs/THREATS.md:7 'no such test in tests/unit/test_a.c: u'
page && sed -i '7s/t\.sh/u.sh/' docs/THREATS.md
expect threats docs/THREATS.md:7 'no such file: tests/u.sh'
page && rm tests/mutants/m.patch
expect threats docs/THREATS.md:8 'no such mutant: m'
page && sed -i '5d' docs/THREATS.md
expect threats docs/THREATS.md:0 'threat 1 has no Code'
page && sed -i '$d;/^## 24/,$d' docs/THREATS.md
expect threats docs/THREATS.md:0 'has not 24 threats'

# --- built files
HARD='-O2 -fPIC -fvisibility=hidden -fstack-protector-strong -fcf-protection=full -D_FORTIFY_SOURCE=2'
LINK='-Wl,-z,relro,-z,now,-z,noexecstack'
SO=build/mosquitto_keyturn.so
cat >"$T/plugin.c" <<'C'
#include <stdio.h>
#include <string.h>
#define API __attribute__((visibility("default")))
int mosquitto_log_printf(int level, const char *fmt, ...);
int mosquitto_set_clientid(void *client, const char *id);
#ifndef STRONG
#pragma weak mosquitto_set_clientid
#endif
API int mosquitto_plugin_version(int n, const int *v);
API int mosquitto_plugin_init(const char *s);
API int mosquitto_plugin_cleanup(void);
int mosquitto_plugin_version(int n, const int *v) { return n + *v; }
int mosquitto_plugin_init(const char *s)
{
	char text[64];
	strcpy(text, s);
	if (mosquitto_set_clientid != NULL)
		mosquitto_set_clientid(NULL, text);
	return mosquitto_log_printf(1, "%s", text);
}
#ifdef STRAY
int log__printf(int level); /* the inside of a broker that exports all of it */
int mosquitto_plugin_cleanup(void) { return log__printf(0); }
#else
int mosquitto_plugin_cleanup(void) { return 0; }
#endif
#ifdef EXTRA
API int run;
int run;
#endif
C
cat >"$T/program.c" <<'C'
#include <string.h>
#include <stdio.h>
int main(int argc, char **argv)
{
	char text[64];
	strcpy(text, argv[argc - 1]);
	return puts(text);
}
C

make_built() { # PLUGIN_FLAGS [PROGRAM_FLAGS]
	fresh
	# shellcheck disable=SC2086
	if ! gcc $HARD $LINK -shared $1 -o "$SO" "$T/plugin.c" ||
		! gcc $HARD $LINK -pie ${2-} -o build/keyturn-agent "$T/program.c" ||
		! cp build/keyturn-agent build/keyturnctl; then
		finding 'tests/lint/selftest.sh:0' "cannot compile with: $*"
	fi
}
make_built ''
clean exports
clean hardening
make_built -DEXTRA
expect exports "$SO" "exports 'mosquitto_plugin_cleanup mosquitto_plugin_init mosquitto_plugin_version run'"
make_built -DSTRONG
expect exports "$SO" 'needs mosquitto_set_clientid'
make_built -DSTRAY
expect exports "$SO" 'needs log__printf, which no library'
make_built '' && rm "$SO"
expect exports mosquitto_keyturn.so 'not built'
expect hardening mosquitto_keyturn.so 'not built'
make_built '-Wl,-z,norelro'
expect hardening "$SO" 'GNU_RELRO'
make_built '-Wl,-z,lazy'
expect hardening "$SO" 'BIND_NOW'
make_built '-Wl,-z,execstack'
expect hardening "$SO" 'executable stack'
make_built '-Wl,-rpath,/tmp'
expect hardening "$SO" 'run-time search path'
make_built '-fno-stack-protector'
expect hardening "$SO" 'stack protector'
make_built '-U_FORTIFY_SOURCE'
expect hardening "$SO" 'fortified'
make_built '' '-fno-pie -no-pie'
expect hardening build/keyturnctl 'PIE'
if [ "$(uname -m)" = x86_64 ]; then
	make_built '-fcf-protection=none'
	expect hardening "$SO" 'endbr64'
fi

cd "$config" || exit 2
printf 'selftest: %d seeded trees\n' "$count"
done_with selftest
