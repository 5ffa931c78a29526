#!/bin/bash
# Does the plugin export its three entry points only, and load on every broker from 2.0.11 on?
#
# A broker opens a plugin with RTLD_NOW: one strong reference that it does not export, and it does
# not start. All 2.0.x export these 34 functions (their linker.syms; a Makefile's build, or CMake's from 2.0.19
# on, exports nothing else); whatever else is used has to be weak.
# usage: exports.sh BUILD_DIR

# shellcheck source=tests/lint/lint.sh
. "$(dirname "$0")/lint.sh"
need_build "$@"

ENTRY='mosquitto_plugin_cleanup mosquitto_plugin_init mosquitto_plugin_version'
CORE='
mosquitto_broker_publish mosquitto_broker_publish_copy mosquitto_callback_register
mosquitto_callback_unregister mosquitto_calloc mosquitto_client_address
mosquitto_client_certificate mosquitto_client_clean_session mosquitto_client_id
mosquitto_client_keepalive mosquitto_client_protocol mosquitto_client_protocol_version
mosquitto_client_sub_count mosquitto_client_username mosquitto_free
mosquitto_kick_client_by_clientid mosquitto_kick_client_by_username mosquitto_log_printf
mosquitto_malloc mosquitto_property_add_binary mosquitto_property_add_byte
mosquitto_property_add_int16 mosquitto_property_add_int32 mosquitto_property_add_string
mosquitto_property_add_string_pair mosquitto_property_add_varint mosquitto_property_free_all
mosquitto_pub_topic_check mosquitto_realloc mosquitto_set_username mosquitto_strdup
mosquitto_sub_topic_check mosquitto_topic_matches_sub mosquitto_validate_utf8
'

so=$(built mosquitto_keyturn.so)
if [ -z "$so" ]; then
	finding "$BUILD/mosquitto_keyturn.so:0" 'not built'
	done_with exports
fi

exported=$(nm -D --defined-only "$so" | awk '{ print $3 }' | sed 's/@.*//' | sort | xargs)
[ "$exported" = "$ENTRY" ] || finding "$so:0" "exports '$exported', not '$ENTRY'"

count=0
while read -r kind name; do
	name=${name%@*}
	count=$((count + 1))
	[ "$kind" = U ] || continue # weak: w or v
	case " ${CORE//$'\n'/ } " in
	*" $name "*) ;;
	*) finding "$so:0" "needs $name, which not every 2.0 broker exports: declare it weak" ;;
	esac
done < <(nm -D --undefined-only "$so" | awk '$2 ~ /^mosquitto_/ { print $1, $2 }')
# What is neither the broker's nor in a library that it names would be found only where something else brings it:
# this broker exports its whole inside, the next one nothing.
while read -r name; do
	[[ $name == mosquitto_* ]] || finding "$so:0" "needs $name, which no library that it is linked with has"
done < <(ldd -r "$so" 2>&1 | sed -n 's/^undefined symbol: *\([^[:space:],]*\).*/\1/p')
printf 'exports: %s, %d functions of the broker\n' "$so" "$count"
[ "$count" -gt 0 ] || finding "$so:0" 'uses no function of the broker: is this the plugin?'
while read -r lib; do
	case $lib in
	libmosquitto.so* | libpaho*) finding "$so:0" "is linked with $lib" ;;
	esac
done < <(readelf -dW "$so" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
done_with exports
