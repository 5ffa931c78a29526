# hub.sh - a real agent in a story: its configuration, its daemon, its operator.
#
# To be sourced after scene.sh:
#
#   hub_conf NAME [LINE...]        $KT_TMP/NAME/agent.conf
#   agent NAME COMMAND [OPTION...] keyturn-agent in front
#   start_hub NAME                 its daemon; pid in HUB_PID[NAME], output in $KT_TMP/NAME.log
#   command JSON                   an operator's command; the answer in $ANSWER
#
# HUB_BEFORE: what stands before the agent's command line, for example a clock.
# shellcheck shell=bash
# shellcheck disable=SC2016 # $CONTROL is a topic
# shellcheck disable=SC2034 # names that only the callers read

AGENT=$KT_BUILD/keyturn-agent
[ -x "$AGENT" ] || fatal "keyturn-agent is not built in $KT_BUILD"
HUB_BEFORE=()

# hub_conf NAME [LINE...]
hub_conf() {
	local hub=$1
	shift
	mkdir -m 700 "$KT_TMP/$hub"
	{
		echo "broker = localhost:$PORT"
		echo "state_dir = $KT_TMP/$hub/state"
		echo 'backoff_min = 1s'
		echo 'backoff_max = 2s'
		echo 'repeat_first = 1s'
		[ $# -eq 0 ] || printf '%s\n' "$@"
	} >"$KT_TMP/$hub/agent.conf"
	chmod 600 "$KT_TMP/$hub/agent.conf"
}

agent() { # HUB COMMAND [OPTION...]
	local hub=$1 command=$2
	shift 2
	"${HUB_BEFORE[@]}" "$AGENT" "$command" -c "$KT_TMP/$hub/agent.conf" "$@"
}

# start_hub NAME: the daemon; its pid in HUB_PID[NAME]
declare -A HUB_PID=()
start_hub() {
	run_bg "$1" "${HUB_BEFORE[@]}" "$AGENT" run -c "$KT_TMP/$1/agent.conf"
	HUB_PID[$1]=$BG_PID
}

is_in_session() { agent "$1" status --json | grep -q '"health":"in_session"'; }
generation() { agent "$1" status --json | grep -oE '"generation":[0-9]+' | cut -d: -f2; }
leaf_fp() { openssl x509 -in "$1" -outform DER | sha256sum | cut -c1-64; }
current_fp() { leaf_fp "$KT_TMP/$1/state/current/identity.pem"; }
current_key() { openssl pkey -in "$KT_TMP/$1/state/current/identity.pem" -pubout; }

# command JSON: one command over the operator's socket; the answer in $ANSWER
command() {
	run_bg answer mosquitto_rr --unix "$KT_TMP/op.sock" -V 5 -i "op:story-$RANDOM" -W 10 -q 1 \
		-t '$CONTROL/keyturn/v1' -e '$CONTROL/keyturn/v1/response' -m "{\"commands\":[$1]}"
	wait_for_exit 15 "$BG_PID"
	ANSWER=$(tail -n 1 "$KT_TMP/answer.log")
	rm "$KT_TMP/answer.log" # it may hold a ticket
}
command_ok() { # NAME JSON
	command "$2"
	if [[ $ANSWER == *'"responses"'* && $ANSWER != *'"error"'* ]]; then
		ok "$1"
	else
		not_ok "$1" "$ANSWER"
	fi
}

# ticket_for HUB: a file with a new ticket
ticket_for() {
	command "{\"command\":\"createTicket\",\"device\":\"$1\"}"
	(umask 077 && grep -oE 'keyturn-ticket-1\.[A-Za-z0-9_-]+' <<<"$ANSWER" >"$KT_TMP/$1/ticket")
	[ -s "$KT_TMP/$1/ticket" ]
}

promoted_count() { grep -cE "event=rotation\\.promoted device=$1 " "$KT_TMP/broker.log"; }
has_promoted() { [ "$(promoted_count "$1")" -ge "$2" ]; }

# Its certificate gets in as the hub's application: the CONNACK's code.
gets_in() { # HUB PEM
	mosquitto_pub -h localhost -p "$PORT" --cafile "$KT_TMP/pki/root.pem" --cert "$2" --key "$2" \
		-i "$1" -V mqttv5 -q 1 -t "devices/$1/x" -m x
}

# enrol_hub HUB [LINE...]: configured, and enrolled by a ticket
enrol_hub() {
	hub_conf "$@"
	command "{\"command\":\"createDevice\",\"device\":\"$1\"}"
	ticket_for "$1" || fatal "no ticket for $1: $ANSWER"
	check "$1 enrols by ticket" agent "$1" enroll --ticket-file "$KT_TMP/$1/ticket" --wait 30
}

stop_hub() { stop_pid "${HUB_PID[$1]}" 10; }

# rotate_hub HUB: one rotation of a running hub, to its end
rotate_hub() {
	local before
	before=$(promoted_count "$1")
	command "{\"command\":\"rotate\",\"device\":\"$1\"}"
	wait_for 60 has_promoted "$1" $((before + 1))
}

# at_time WHEN: HUB_BEFORE is that clock from now on ("" the machine's own); false without libfaketime
at_time() {
	local library
	HUB_BEFORE=()
	[ -n "$1" ] || return 0
	library=$(find /usr/lib /usr/lib64 -name libfaketimeMT.so.1 -print -quit 2>/dev/null)
	[ -n "$library" ] || return 1
	HUB_BEFORE=(env "LD_PRELOAD=$library" "FAKETIME=$1" DONT_FAKE_MONOTONIC=1 FAKETIME_DONT_RESET=1)
}

# all of a hub's disk but what says where it stands: names and contents
disk_of() { (cd "$KT_TMP/$1/state" && readlink current && find identity root.pem -type f -exec \
	sha256sum {} + | sort); }
