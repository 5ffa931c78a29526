#!/bin/bash
# Does every file include only what its place allows? (docs/DEVELOPMENT: the dependency rules)
#
# common includes nothing of plugin or agent; plugin and agent never include each other; each
# foreign library has its home files and is included nowhere else.

# shellcheck source=tests/lint/lint.sh
. "$(dirname "$0")/lint.sh"

# header pattern | files that may include it
HOMES='
mosquitto.h|plugin/plugin_mosquitto*.[ch] plugin/ctl/transport_mosquitto.c
mosquitto_*.h|plugin/plugin_mosquitto*.[ch]
mosquitto/*|plugin/plugin_mosquitto*.[ch] plugin/ctl/transport_mosquitto.c
mqtt_protocol.h|plugin/plugin_mosquitto*.[ch] plugin/ctl/transport_mosquitto.c
openssl/*|plugin/plugin_mosquitto*.c agent/transport/tls_openssl.c common/crypto/crypto_openssl.c
MQTT*.h|agent/transport/transport_paho.c
cJSON.h|common/json.c
cjson/*|common/json.c
wolfssl/openssl/*|
wolfssl/ssl.h|
wolfssl/*|common/crypto/crypto_wolfssl*.[ch]
sqlite3.h|plugin/store/index_sqlite*.[ch]
systemd/*|agent/*
'

check_foreign() { # FILE LINE HEADER
	local pattern homes home
	while IFS='|' read -r pattern homes; do
		[ -n "$pattern" ] || continue
		# shellcheck disable=SC2053 # patterns are meant
		[[ $3 == $pattern ]] || continue
		for home in $homes; do
			# shellcheck disable=SC2053
			[[ $1 == $home ]] && return
		done
		finding "$1:$2" "<$3> belongs into ${homes:-no file at all}"
		return
	done <<<"$HOMES"
}

check_ours() { # FILE LINE HEADER
	local part=${1%%/*} allowed found=
	case $3 in
	../*/* | */../* | common/* | plugin/* | agent/*)
		finding "$1:$2" "\"$3\": name the header without the part's folder"
		return
		;;
	esac
	case $part in
	common) allowed=common ;;
	*) allowed="common $part" ;;
	esac
	# shellcheck disable=SC2086
	found=$(find $allowed -path "*/${3#../}" -type f 2>/dev/null | head -n 1)
	[ -n "$found" ] || finding "$1:$2" "\"$3\" is not in ${allowed// / or }"
}

count=0
while read -r file; do
	count=$((count + 1))
	while IFS=: read -r line text; do
		header=${text#*[<\"]}
		header=${header%%[>\"]*}
		case $text in
		*\<*) check_foreign "$file" "$line" "$header" ;;
		*\"*)
			check_ours "$file" "$line" "$header"
			check_foreign "$file" "$line" "$header"
			;;
		*) finding "$file:$line" "an #include of a macro hides a dependency" ;;
		esac
	done < <(grep -nE '^[[:space:]]*#[[:space:]]*include\b' "$file" | sed 's/#[[:space:]]*include//')
done < <(sources common plugin agent)
printf 'boundaries: %d files\n' "$count"
[ "$count" -gt 0 ] || finding 'common:0' 'no source file found'
done_with boundaries
