#!/bin/bash
# Does a real agent live a hub's whole life against the real broker: enrolled three ways, challenged,
# rotated, killed in the middle, its broker killed in the middle, revoked?

# shellcheck disable=SC2016 # $CONTROL is a topic
# shellcheck disable=SC2119 # scene_start without a command in front
# shellcheck disable=SC2317 # functions that wait_for and check call
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
# shellcheck source=tests/integration/hub.sh
. "$(dirname "$0")/hub.sh"
make_tmp

SEED=${KT_SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
RANDOM=$SEED
say "# KT_SEED=$SEED"

# --- before there is anything ---------------------------------------------------------------------------

scene_pki
KEYTURN_LINES+=('superseded_drain = 1s')
scene_write
scene_start

hub_conf hub-a "hook = /bin/touch $KT_TMP/hub-a/reloaded"
check_fails 'status before the first start' 1 agent hub-a status
check_line 'says so' <(echo "$KT_OUT") 'no agent has run here yet'
check 'check before the first start' agent hub-a check
check_eq 'which makes nothing' "$(ls "$KT_TMP/hub-a")" agent.conf
check_fails 'enroll with nothing to enrol with' 1 agent hub-a enroll
check_line 'says what is missing' <(echo "$KT_OUT") 'trust_domain is missing'
rm -rf "$KT_TMP/hub-a/state"
check_fails 'a ticket that is not there' 1 agent hub-a enroll --ticket-file "$KT_TMP/hub-a/none"
check_line 'is named' <(echo "$KT_OUT") "ticket: $KT_TMP/hub-a/none: no such"
check_fails 'an unknown command' 2 "$AGENT" rotate
check_fails 'no command' 2 "$AGENT"
check_fails 'an unknown option' 2 "$AGENT" run --frobnicate
check_fails 'a wait that is no number' 2 "$AGENT" enroll --wait 1h
check_fails 'a configuration that is not there' 1 "$AGENT" run -c "$KT_TMP/none.conf"
check_line 'is named' <(echo "$KT_OUT") "$KT_TMP/none.conf"
check 'help' "$AGENT" --help
check 'version' "$AGENT" --version

[ "${#BROKER_BEFORE[@]}" -gt 0 ] || check_eq 'nothing of the process goes into a core file or a debugger' "$(grep -cE \
	'RLIMIT_CORE.*rlim_cur=0, rlim_max=0|PR_SET_DUMPABLE, SUID_DUMP_DISABLE' <(strace -e \
	trace=prctl,setrlimit,prlimit64 "$AGENT" check -c "$KT_TMP/hub-a/agent.conf" 2>&1))" 2

# --- by ticket -------------------------------------------------------------------------------------------

command_ok 'hub-a is registered' '{"command":"createDevice","device":"hub-a"}'
ticket_for hub-a || fatal "no ticket: $ANSWER"
chmod 644 "$KT_TMP/hub-a/ticket"
check_fails 'a ticket that others may read' 1 agent hub-a enroll --ticket-file "$KT_TMP/hub-a/ticket"
check_line 'is refused for that' <(echo "$KT_OUT") 'too open'
chmod 600 "$KT_TMP/hub-a/ticket"
check 'hub-a enrols by ticket' agent hub-a enroll --ticket-file "$KT_TMP/hub-a/ticket" --wait 30
check_eq 'generation 1' "$(generation hub-a)" 1
check_eq 'nobody else reads the key' \
	"$(stat -L -c %a "$KT_TMP/hub-a/state/current/key.pem" "$KT_TMP/hub-a/state" | tr '\n' ' ')" '600 700 '
check 'the hook has run' test -e "$KT_TMP/hub-a/reloaded"
check 'chain and certificate are strict' openssl verify -x509_strict -CAfile "$KT_TMP/pki/root.pem" \
	-untrusted "$KT_TMP/pki/issuing.pem" "$KT_TMP/hub-a/state/current/cert.pem"
check_fails 'enrolling twice' 1 agent hub-a enroll --ticket-file "$KT_TMP/hub-a/ticket"
check_line 'says who it is' <(echo "$KT_OUT") 'this hub is hub-a already'
check_no_line 'no secret in a log' <(cat "$KT_TMP"/*.log) \
	"PRIVATE|$(tail -c 41 "$KT_TMP/hub-a/ticket")"

hub_conf hub-x
cp -p "$KT_TMP/hub-a/ticket" "$KT_TMP/hub-x/ticket"
check_fails 'a used ticket gives another key nothing' 3 \
	agent hub-x enroll --ticket-file "$KT_TMP/hub-x/ticket" --wait 3
check_line 'and is an alarm' "$KT_TMP/broker.log" 'event=enroll\.conflict'
rm -rf "$KT_TMP/hub-x"

# --- in session ------------------------------------------------------------------------------------------

start_hub hub-a
check 'hub-a comes into session' wait_for 15 is_in_session hub-a
check 'status succeeds then' agent hub-a status
check_fails 'a second agent over the same state' 1 timeout 10 "$AGENT" run -c "$KT_TMP/hub-a/agent.conf"
check_line 'says why' <(echo "$KT_OUT") 'another agent uses'
check 'check beside it' agent hub-a check
command_ok 'a challenge is sent' '{"command":"challenge","device":"hub-a"}'
check 'and answered' wait_for_line 10 "$KT_TMP/broker.log" 'event=challenge\.answered device=hub-a'

# --- a rotation ------------------------------------------------------------------------------------------

cp "$KT_TMP/hub-a/state/current/identity.pem" "$KT_TMP/hub-a/before.pem"
before_key=$(current_key hub-a)
before_dir=$(readlink "$KT_TMP/hub-a/state/current")
rm "$KT_TMP/hub-a/reloaded"
command_ok 'a rotation is ordered' '{"command":"rotate","device":"hub-a"}'
check 'and goes to its end' wait_for 20 has_promoted hub-a 2
check_eq 'generation 2' "$(generation hub-a)" 2
check 'another certificate' test "$(current_fp hub-a)" != "$(leaf_fp "$KT_TMP/hub-a/before.pem")"
check 'another key' test "$(current_key hub-a)" != "$before_key"
check 'the old directory is gone' test ! -e "$KT_TMP/hub-a/state/$before_dir"
check 'the hook has run again' test -e "$KT_TMP/hub-a/reloaded"
check 'the new certificate gets in' gets_in hub-a "$KT_TMP/hub-a/state/current/identity.pem"
check_fails 'the old one does not' any gets_in hub-a "$KT_TMP/hub-a/before.pem"
check 'and is noticed' wait_for_line 5 "$KT_TMP/broker.log" 'event=clone\.(suspected|alarmed) device=hub-a'
check 'the hub is still in session' wait_for 10 is_in_session hub-a
check 'by its own connection' wait_for_lines 15 "$KT_TMP/hub-a.log" 'event=link\.up link=agent' 2
check_eq 'no link was refused' "$(grep -c 'event=link.refused' "$KT_TMP/hub-a.log")" 0

# --- log rotation ----------------------------------------------------------------------------------------

ups=$(grep -c 'event=link.up' "$KT_TMP/hub-a.log")
kill -HUP "$BROKER" "${HUB_PID[hub-a]}"
check 'SIGHUP is handled' wait_for_line 10 "$KT_TMP/broker.log" 'event=plugin\.reloaded'
command_ok 'a challenge after SIGHUP' '{"command":"challenge","device":"hub-a"}'
check 'is answered' wait_for_lines 10 "$KT_TMP/broker.log" 'event=challenge\.answered device=hub-a' 2
check_eq 'SIGHUP has disturbed nobody' "$(grep -c 'event=link.up' "$KT_TMP/hub-a.log")" "$ups"

# --- as a service: ready, alive, stopping ----------------------------------------------------------------

stop_pid "${HUB_PID[hub-a]}" 10
cat >"$KT_TMP/notify.py" <<'END'
import os, socket, subprocess, sys, time
path = sys.argv[1]
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.bind(path)
sock.settimeout(15)
env = dict(os.environ, NOTIFY_SOCKET=path, WATCHDOG_USEC="1000000", JOURNAL_STREAM="1:1")
agent = subprocess.Popen(sys.argv[2:], env=env)
got = []
while "STATUS=in_session" not in got or got.count("WATCHDOG=1") < 3:
    got += sock.recv(4096).decode().splitlines()
agent.terminate()
while "STOPPING=1" not in got:
    got += sock.recv(4096).decode().splitlines()
sys.exit(agent.wait(10) or got.index("READY=1") > got.index("STATUS=in_session"))
END
check 'ready, in session, alive and stopping are notified' timeout 40 /usr/bin/python3 "$KT_TMP/notify.py" \
	"$KT_TMP/notify" "$AGENT" run -c "$KT_TMP/hub-a/agent.conf"
start_hub hub-a
check 'and in session again' wait_for 15 is_in_session hub-a

# --- kill -9 of the hub in the middle of a rotation ------------------------------------------------------

# one_death WHAT LOG REGEX VICTIM: a rotation in which the victim is killed once a new line matches.
done_before() { [ "$(grep -cE -e "$1" "$2")" -gt "$3" ]; }
one_death() {
	local what=$1 log=$KT_TMP/$2 regex=$3 victim=$4 seen promoted
	seen=$(grep -cE -e "$regex" "$log")
	promoted=$(promoted_count hub-a)
	command '{"command":"rotate","device":"hub-a"}'
	if ! wait_for 20 done_before "$regex" "$log" "$seen"; then
		not_ok "$what: comes so far" "$(tail -n 5 "$log")"
		return
	fi
	if [ "$victim" = hub ]; then
		kill_pid "${HUB_PID[hub-a]}"
		start_hub hub-a
	else
		kill_pid "$BROKER"
		rm -f "$KT_TMP/op.sock"
		scene_start
	fi
	if wait_for 30 has_promoted hub-a $((promoted + 1)) && wait_for 15 is_in_session hub-a; then
		ok "$what: ends in a working hub"
	else
		not_ok "$what: ends in a working hub" "$(tail -n 5 "$KT_TMP/hub-a.log" "$KT_TMP/broker.log")"
	fi
	check_eq "$what: with one credential" "$(find "$KT_TMP/hub-a/state/identity" -name key.pem | wc -l)" 1
}

one_death 'the hub dies with a key' hub-a.log 'phase=key' hub
one_death 'the hub dies with a certificate' hub-a.log 'phase=cert' hub
one_death 'the hub dies in its trial' hub-a.log 'link.up link=trial' hub
one_death 'the hub dies after committed' hub-a.log 'phase=stable .* why=committed' hub
one_death 'the hub dies while the hook runs' hub-a.log 'event=hook.ran' hub
one_death 'the broker dies with an open op' broker.log 'event=rotation.opened' broker
one_death 'the broker dies with an issued certificate' broker.log 'event=rotation.issued' broker
one_death 'the broker dies after the commit' broker.log 'event=rotation.committed' broker

has_one_key() {
	[ "$(find "$KT_TMP/hub-a/state/identity" -name key.pem | wc -l)" = 1 ]
}

# Anywhere: the agent is stopped by a signal at a system call that changes its disk, one after the other.
long_way() {
	local n=0 promoted deaths=0
	kill_pid "${HUB_PID[hub-a]}"
	promoted=$(promoted_count hub-a)
	command '{"command":"rotate","device":"hub-a"}'
	while [ "$n" -lt "$1" ]; do
		n=$((n + 1))
		run_bg hub-a strace -D -f -o "$KT_TMP/strace.out" -e "trace=fsync,fdatasync,rename,unlink,mkdir,rmdir" \
			-e "inject=fsync,fdatasync,rename,unlink,mkdir,rmdir:signal=KILL:when=$((RANDOM % 24 + 1))" \
			"$AGENT" run -c "$KT_TMP/hub-a/agent.conf"
		if wait_for 4 is_gone "$BG_PID"; then
			deaths=$((deaths + 1))
		else # alive and at rest: the next rotation
			stop_pid "$BG_PID"
			command '{"command":"rotate","device":"hub-a"}'
		fi
		forget_pid "$BG_PID"
	done
	start_hub hub-a
	check "after $deaths deaths at random calls the hub is in session" wait_for 40 is_in_session hub-a
	check 'and has rotated' wait_for 40 has_promoted hub-a $((promoted + 1))
	check 'with one credential, once the last rotation is over' wait_for 40 has_one_key
	check 'deaths there were' test "$deaths" -gt 0
}
# The sanitizers' search for leaks and strace cannot trace one process both.
if [ "${#BROKER_BEFORE[@]}" -eq 0 ]; then
	long_way "$([ "${KT_LONG-}" = 1 ] && echo 60 || echo 6)"
fi

# --- by registered key, by approval ------------------------------------------------------------------------

hub_conf hub-b "trust_domain = $TD" "root_cert = $KT_TMP/pki/root.pem" 'device = hub-b' \
	"claim_identity = $KT_TMP/claim.pem"
key_id=$(agent hub-b key-id 2>"$KT_TMP/key-id.log")
check_eq 'key-id prints 64 hex digits' "$(grep -cE '^[0-9a-f]{64}$' <<<"$key_id")" 1
check_eq 'and the same again' "$(agent hub-b key-id 2>/dev/null)" "$key_id"
command_ok 'hub-b is registered with it' "{\"command\":\"createDevice\",\"device\":\"hub-b\",\"keyId\":\"$key_id\"}"
check 'hub-b enrols by its key' agent hub-b enroll --wait 30

hub_conf hub-c "trust_domain = $TD" "root_cert = $KT_TMP/pki/root.pem" 'device = hub-c' \
	"claim_identity = $KT_TMP/claim.pem"
key_id=$(agent hub-c key-id 2>/dev/null)
check_fails 'a claim certificate alone gets no identity' 3 agent hub-c enroll --wait 3
check_line 'it says that it is not enrolled' <(echo "$KT_OUT") 'not enrolled yet'
start_hub hub-c
command_ok 'an operator approves the key' \
	"{\"command\":\"approve\",\"keyId\":\"$key_id\",\"device\":\"hub-c\"}"
check 'hub-c comes into session' wait_for 30 is_in_session hub-c

# --- out ---------------------------------------------------------------------------------------------------

command_ok 'hub-c is revoked' '{"command":"revoke","device":"hub-c","emergency":true}'
check 'its session is ended' wait_for_line 10 "$KT_TMP/hub-c.log" 'event=link\.(down|refused) link=agent'
check 'and it does not come back' wait_for_line 15 "$KT_TMP/hub-c.log" 'event=link\.refused link=agent'
check_fails 'status says that it is out' 1 agent hub-c status
check 'it keeps its key: a broker that is lied to must not cost it' \
	test -s "$KT_TMP/hub-c/state/current/key.pem"
check 'the agent goes on trying' is_running "${HUB_PID[hub-c]}"

# --- a library that does not return --------------------------------------------------------------------------

# 60 s and twenty times connect_timeout: a minute and a half for one check
if [ "${KT_LONG-}" = 1 ] && [ "${#BROKER_BEFORE[@]}" -eq 0 ]; then
	echo 'connect_timeout = 1s' >>"$KT_TMP/hub-b/agent.conf"
	HUB_BEFORE=(env "LD_PRELOAD=$KT_BUILD/tests/hanging_connect.so")
	start_hub hub-b
	HUB_BEFORE=()
	wait_for_exit 120 "${HUB_PID[hub-b]}"
	check_eq 'an agent whose connect does not return ends' "$?" 1
	check_line 'with the reason, for systemd to start it again' "$KT_TMP/hub-b.log" 'event=agent\.failed what=transport err=busy'
	check_line 'and for a person' "$KT_TMP/hub-b.log" 'a call of the MQTT library does not return'
	start_hub hub-b
	check 'which then is in session' wait_for 30 is_in_session hub-b
	stop_pid "${HUB_PID[hub-b]}" 10
fi

# another root, another fleet
"$KT_PKI" init "$KT_TMP/other" --trust-domain "$TD" >/dev/null 2>&1
sed -i "s|/pki/root|/other/root|" "$KT_TMP/hub-b/agent.conf"
check_fails 'another root in the configuration' 1 agent hub-b check
check_line 'is named' <(echo "$KT_OUT") 'another root is pinned'
sed -i "s|/other/root|/pki/root|; s|^trust_domain = .*|trust_domain = other.example|" "$KT_TMP/hub-b/agent.conf"
check_fails 'another trust domain' 1 agent hub-b check
check_line 'is named too' <(echo "$KT_OUT") "trust_domain is other.example, but this hub is one of $TD"

# --- the end -----------------------------------------------------------------------------------------------

for hub in hub-a hub-c; do
	stop_pid "${HUB_PID[$hub]}" 10
	check_eq "$hub ends with success on SIGTERM" "$?" 0
	check_line 'and says so' "$KT_TMP/$hub.log" 'event=agent\.stopped'
done
check_eq 'status says stopped' "$(agent hub-a status | awk '$1 == "health" { print $2 }')" stopped
check_no_line 'nothing private in any log' <(cat "$KT_TMP"/*.log) 'PRIVATE KEY'
scene_stop
check_eq 'the broker ends with success' "$?" 0
finish
