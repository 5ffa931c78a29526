#!/bin/bash
# Does a fleet come back after its registry was lost: the index in any shape, the ledger restored from
# an older backup, the ledger gone; and does what was revoked or replaced stay out?

# shellcheck disable=SC2119 # scene_start without a command in front
# shellcheck disable=SC2317 # functions that check and wait_for call
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp

AGENT=$KT_BUILD/keyturn-agent
CTL=$KT_BUILD/keyturnctl
[ -x "$AGENT" ] || fatal "keyturn-agent is not built in $KT_BUILD"
[ -x "$CTL" ] || fatal "keyturnctl is not built in $KT_BUILD"

ctl() { "$CTL" --unix "$KT_TMP/op.sock" "$@"; }
offline() { "$CTL" --config "$KT_TMP/keyturn.conf" "$@"; }
head_of() { offline audit verify "$@" | sed -n 's/^head  *//p'; }

# says NAME EXIT_CODE TEXT COMMAND...: run once; exit code, and a line of its output that matches
says() {
	local name=$1 code=$2 text=$3 got=0
	shift 3
	KT_OUT=$("$@" 2>&1 </dev/null) || got=$?
	check_eq "$name" "$got" "$code"
	check_line "$name: says so" <(printf '%s\n' "$KT_OUT") "$text"
}

# start_fails NAME TEXT: the broker ends by itself, and the plugin's last line says why
start_fails() {
	run_bg refused "${BROKER_BEFORE[@]}" "$KT_BROKER" -c "$KT_TMP/mosquitto.conf"
	wait_for_exit 20 "$BG_PID"
	check "$1: the broker ends" is_gone "$BG_PID"
	check_line "$1: and says why" "$KT_TMP/refused.log" "event=plugin\\.refused .*$2"
	rm -f "$KT_TMP/refused.log"
}

# --- hubs -----------------------------------------------------------------------------------------------

agent() { # HUB COMMAND [OPTION...]
	local hub=$1 command=$2
	shift 2
	"$AGENT" "$command" -c "$KT_TMP/$hub/agent.conf" "$@"
}
enrol() { # HUB
	mkdir -m 700 "$KT_TMP/$1"
	printf '%s\n' "broker = localhost:$PORT" "state_dir = $KT_TMP/$1/state" 'backoff_min = 1s' \
		'backoff_max = 2s' 'repeat_first = 1s' >"$KT_TMP/$1/agent.conf"
	chmod 600 "$KT_TMP/$1/agent.conf"
	ctl create-device "$1" >/dev/null
	(umask 077 && ctl create-ticket "$1" --raw >"$KT_TMP/$1/ticket")
	check "$1 enrols" agent "$1" enroll --ticket-file "$KT_TMP/$1/ticket" --wait 30
	run_bg "$1" "$AGENT" run -c "$KT_TMP/$1/agent.conf"
}
generation() { agent "$1" status --json | grep -oE '"generation":[0-9]+' | cut -d: -f2; }
is_online() { # HUB [GENERATION]: in session, and current is what the registry holds
	agent "$1" status --json | grep -q '"health":"in_session"' &&
		ctl show "$1" --json >"$KT_TMP/shown" && grep -q '"online":true' "$KT_TMP/shown" &&
		grep -q "\"state\":\"active\",.*\"generation\":${2:-$(generation "$1")}," "$KT_TMP/shown" &&
		grep -q '"adopted":false' "$KT_TMP/shown"
}
# Its certificate as the hub's application, on a topic of its own.
gets_in() { # HUB PEM
	timeout 10 mosquitto_pub -h localhost -p "$PORT" --cafile "$KT_TMP/pki/root.pem" --cert "$2" \
		--key "$2" -i "$1" -V mqttv5 -q 1 -t "devices/$1/x" -m x
}
keep_identity() { (umask 077 && cat "$KT_TMP/$1/state/current/identity.pem" >"$KT_TMP/$2.pem"); }
all_back() {
	local hub
	for hub in "$@"; do
		check "$hub is back in session" wait_for 60 is_online "$hub"
	done
}

scene_pki
KEYTURN_LINES+=('superseded_drain = 1s')
scene_write
scene_start
for hub in hub-a hub-s hub-r; do
	enrol "$hub"
done
all_back hub-a hub-s hub-r

# --- the index is lost in every shape: nobody notices ------------------------------------------------------

INDEX=$KT_TMP/state/index.sqlite
scene_stop
cp "$INDEX" "$KT_TMP/yesterday"
scene_start
check 'something happens after that copy' ctl quarantine hub-s
check 'and ends' ctl release hub-s
scene_stop
for shape in deleted empty garbage yesterday foreign-wal; do
	rm -f "$INDEX"-wal "$INDEX"-shm
	case $shape in
	deleted) rm -f "$INDEX" ;;
	empty) : >"$INDEX" ;;
	garbage) head -c 20000 /dev/urandom >"$INDEX" ;;
	yesterday) cp "$KT_TMP/yesterday" "$INDEX" ;;
	foreign-wal) head -c 20000 /dev/urandom >"$INDEX-wal" ;;
	esac
	rebuilt=$(grep -c 'event=index\.rebuilt' "$KT_TMP/broker.log")
	scene_start
	case $shape in
	deleted | empty | garbage)
		check "$shape: the index is rebuilt" wait_for_lines 5 "$KT_TMP/broker.log" \
			'event=index\.rebuilt' $((rebuilt + 1))
		;;
	*) check_eq "$shape: it is caught up" "$(grep -c 'event=index\.rebuilt' "$KT_TMP/broker.log")" "$rebuilt" ;;
	esac
	check_eq "$shape: nothing is reconciled" \
		"$(ctl status --json | grep -o '"reconciling":[a-z]*')" '"reconciling":false'
	scene_stop
done
scene_start
all_back hub-a hub-s hub-r
check_eq 'no hub had to rotate' "$(generation hub-a) $(generation hub-s) $(generation hub-r)" '1 1 1'

# --- operators of the ledger: two before the backup, of whom one is removed after it ------------------------

for name in carol dave; do
	"$KT_PKI" operator "$KT_TMP/pki" --name "$name" >"$KT_TMP/$name.line" 2>>"$KT_TMP/pki.log"
	check "$name is an operator" ctl operator add "$name" \
		"$(grep -o 'sha256:[0-9a-f]*' "$KT_TMP/$name.line")" viewer
done
as() { # NAME COMMAND...
	local name=$1
	shift
	"$CTL" --host localhost --port "$PORT" --cafile "$KT_TMP/pki/root.pem" \
		--cert "$KT_TMP/pki/operator-$name.pem" --key "$KT_TMP/pki/operator-$name.key" "$@"
}
check 'and is let in' as carol status

# --- a backup beside the running broker ----------------------------------------------------------------------

says 'a backup is made' 0 '^head  *[0-9a-f]{64}$' offline backup "$KT_TMP/backup"
HEAD=$(sed -n 's/^head  *//p' <<<"$KT_OUT")
check_eq 'whose head is the one it told' "$(head_of "$KT_TMP/backup")" "$HEAD"
check_eq 'nobody else reads it' "$(stat -c %a "$KT_TMP/backup" "$KT_TMP/backup/ledger.kt" | tr '\n' ' ')" '700 600 '
says 'it is not made twice' 6 'no backup was made: .*backup' offline backup "$KT_TMP/backup"
says 'a restore beside a running broker' 6 'stop the broker first' offline restore "$KT_TMP/backup"

# --- what happens after it is lost --------------------------------------------------------------------------

keep_identity hub-a old-a
keep_identity hub-r old-r
check 'hub-a rotates' ctl rotate hub-a
check 'to generation 2' wait_for 60 is_online hub-a 2
check 'and promotes it' wait_for_lines 40 "$KT_TMP/broker.log" 'event=rotation\.promoted device=hub-a ' 2
check 'carol is removed' ctl operator remove carol
check_fails 'and stays out' 3 as carol status
check 'hub-r is revoked' ctl revoke hub-r --yes --emergency
enrol hub-n
all_back hub-n
scene_stop
check_eq 'the ledger has grown' "$([ "$(head_of)" != "$HEAD" ] && echo yes)" yes
NEWEST=$(head_of)

says 'a silent rollback is refused' 5 'the index knows records' offline restore "$KT_TMP/backup"
check_eq 'and nothing is touched' "$(head_of)" "$NEWEST"
cp "$KT_TMP/ledger/ledger.kt" "$KT_TMP/newest"
cp "$KT_TMP/backup/ledger.kt" "$KT_TMP/ledger/ledger.kt"
start_fails 'with the older ledger' "older than the index.*keyturnctl restore --accept-rollback $HEAD"
says 'another head is refused' 5 'that is not the head' offline restore --accept-rollback "$NEWEST"
says 'the word for none as well' 5 'that is not the head' offline restore --accept-rollback lost
start_fails 'and the start still says' "--accept-rollback $HEAD"
says 'the right one is accepted' 0 'cannot be promised' offline restore --accept-rollback "$HEAD" --note 'disk died'
check_line 'operators have to be added again' <(printf '%s\n' "$KT_OUT") '^2 operators .* keyturnctl operator list --removed$'
check_line 'a revoke came back' <(printf '%s\n' "$KT_OUT") '^devices revoked  *1$'
says 'the ledger is whole' 0 '^verdict  *whole$' offline audit verify
check_line 'it begins with the backup' "$KT_TMP/ledger/ledger.kt" "\"kind\":\"ledger.restore\",\"head\":\"$HEAD\""

# --- the fleet comes back ---------------------------------------------------------------------------------------

scene_start
check_line 'the start says that it reconciles' "$KT_TMP/broker.log" 'event=registry\.reconciling'
check_eq 'so does status' "$(ctl status --json | grep -o '"reconciling":[a-z]*')" '"reconciling":true'
check 'hub-a, which had rotated, is adopted' wait_for_line 60 "$KT_TMP/broker.log" \
	'event=device\.adopted device=hub-a .*gen=2'
all_back hub-a hub-s hub-n
check_eq 'and rotated by itself' "$(generation hub-a)" 3
check_eq 'so is hub-n, which this ledger never knew' "$(generation hub-n)" 2
check_eq 'hub-s, whose certificate is the same, had nothing to do' "$(generation hub-s)" 1
keep_identity hub-a now-a
check_eq 'no clone was alarmed for the adoption' \
	"$(grep -c 'event=clone\.alarmed device=hub-a' "$KT_TMP/broker.log")" 0
check 'hub-a has its topics' gets_in hub-a "$KT_TMP/now-a.pem"
check_fails 'its replaced key stays out' 135 gets_in hub-a "$KT_TMP/old-a.pem"
check_fails 'hub-r, revoked after the backup, stays out' "$REVOKED_CODE" gets_in hub-r "$KT_TMP/old-r.pem"
check_line 'as revoked' "$KT_TMP/broker.log" 'event=client\.refused reason=cert\.revoked .*device=hub-r'
check_fails 'carol, removed after the backup, stays out' 3 as carol status
check_fails 'so does dave: he might have been' 3 as dave status
says 'who they were is told' 0 '^dave +viewer +ledger ' ctl operator list --removed
check 'dave is added again' ctl operator add dave "$(grep -o 'sha256:[0-9a-f]*' "$KT_TMP/dave.line")" viewer
check 'and is let in' as dave status
check 'an operator ends it' ctl reconcile end --note 'all back'
says 'once' 1 'state' ctl reconcile end
check_eq 'status knows' "$(ctl status --json | grep -o '"reconciling":[a-z]*')" '"reconciling":false'
scene_stop
says 'the ledger is whole' 0 '^verdict  *whole$' offline audit verify

# --- the ledger is gone -------------------------------------------------------------------------------------------

rm "$KT_TMP/ledger/ledger.kt"
start_fails 'without a ledger' 'is missing.*--accept-rollback lost'
says 'a head of none is refused' 5 '--accept-rollback lost' offline restore --accept-rollback "$HEAD"
says 'the loss is accepted' 0 'but the index knew them' offline restore --accept-rollback lost
scene_start
all_back hub-a hub-s hub-n
check_eq 'each rotated by itself' "$(generation hub-a) $(generation hub-s) $(generation hub-n)" '4 2 3'
check_fails 'hub-r stays out' "$REVOKED_CODE" gets_in hub-r "$KT_TMP/old-r.pem"
check_fails 'old keys stay out' 135 gets_in hub-a "$KT_TMP/old-a.pem"
check_fails 'newer ones, too' 135 gets_in hub-a "$KT_TMP/now-a.pem"
scene_stop
says 'the ledger is whole' 0 '^verdict  *whole$' offline audit verify

# --- one byte ------------------------------------------------------------------------------------------------------

cp "$KT_TMP/ledger/ledger.kt" "$KT_TMP/good"
at=$(head -n 2 "$KT_TMP/good" | wc -c)
printf 'X' | dd of="$KT_TMP/ledger/ledger.kt" bs=1 seek=$((at + 80)) conv=notrunc status=none
says 'one changed byte is named' 5 'line 3 of .*ledger\.kt \(record 3\) does not verify: its hash' offline audit verify
start_fails 'and no start goes over it' 'line 3 of .*does not verify'
mkdir -m 700 "$KT_TMP/copy"
(umask 077 && cp "$KT_TMP/good" "$KT_TMP/copy/ledger.kt")
says 'a copy is put back' 5 'the present ledger is damaged' offline restore "$KT_TMP/copy"
says 'with a word for what is not known' 0 '^earlier ledger .*before-restore-1$' \
	offline restore "$KT_TMP/copy" --accept-rollback "$(head_of "$KT_TMP/copy")"
scene_start
all_back hub-a hub-s hub-n
check_eq 'without another rotation' "$(generation hub-a) $(generation hub-s) $(generation hub-n)" '4 2 3'
scene_stop
finish
