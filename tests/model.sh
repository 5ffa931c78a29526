#!/usr/bin/env bash
# The model of the rollover (tests/model/rollover.pml), searched by spin.
#
#   tests/model.sh [--large] [--json] [--only NAME]
#
# Runs that must hold, states that must be reachable, and for every rule of the model what breaks without
# it: a knock-out that finds no counterexample fails. One line for each run; ends with
# "N passed, N failed". With --json stdout has two lines, the document and the counts; the story goes to
# stderr. --large: 3 ops and 5 keys where it must hold, in place of 2 and 4 (some 10 minutes, 8 GB).
# --only: the runs whose name contains NAME.
set -u
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
exec </dev/null

MODEL=$KT_ROOT/tests/model/rollover.pml
JSON=0
LARGE=0
ONLY=

usage() {
	sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case $1 in
	--json) JSON=1 ;;
	--large) LARGE=1 ;;
	--only)
		[ -n "${2-}" ] || usage
		ONLY=$2
		shift
		;;
	*) usage ;;
	esac
	shift
done

# name | kind | switches | expected
#   hold     every invariant holds in every state            (expected: -)
#   loop     there is no cycle in which nothing gets done    (expected: -)
#   reach    the state is reachable: the model is not empty  (expected: -)
#   break    a rule is off: this invariant must break
#   limit    what no rule can keep: this invariant must break
#   spare    a rule is off, and nothing breaks               (expected: -)
#   quick    hold, at the committed size only                (expected: -)
RESTORED='-DRESTORE=1 -DCHECK=57'
TWO_HUBS='-DCLONE=1 -DBADCRED=0 -DCANCEL_OPS=0'
RUNS="
base|hold||-
base.live|hold|-DLIVE=1|-
base.loop|loop|-DLIVE=1|-
base.mute|hold|-DLIVE=1 -DBADCRED=2|-
base.reach|reach|-DREACH=1|-
programs|hold|-DAPP=1|-
clone|hold|$TWO_HUBS|-
clone.reach|reach|$TWO_HUBS -DREACH=2|-
claim|hold|-DCLAIM=1|-
claim.live|hold|-DCLAIM=1 -DLIVE=1|-
claim.loop|loop|-DCLAIM=1 -DLIVE=1|-
claim.reach|reach|-DCLAIM=1 -DREACH=1|-
approve|hold|-DCLAIM=2|-
approve.live|hold|-DCLAIM=2 -DLIVE=1|-
approve.loop|loop|-DCLAIM=2 -DLIVE=1|-
thief|hold|-DCLAIM=1 -DTHIEF=1|-
thief.live|hold|-DCLAIM=1 -DTHIEF=1 -DLIVE=1|-
thief.reach|reach|-DCLAIM=1 -DTHIEF=1 -DREACH=5|-
replace|hold|-DREPLACE=1|-
replace.live|hold|-DREPLACE=1 -DLIVE=1|-
replace.reach|reach|-DREPLACE=1 -DREACH=4|-
restore|hold|$RESTORED|-
restore.live|hold|$RESTORED -DLIVE=1|-
restore.reach|reach|$RESTORED -DREACH=3|-
restore.I2|limit|-DRESTORE=1 -DCHECK=2|I2
restore.I3|limit|-DRESTORE=1 -DCHECK=4|I3
SYNC_KEY|break|-DSYNC_KEY=0|I5
SYNC_CERT|break|-DSYNC_CERT=0|I1
CLAIM_SYNC|break|-DCLAIM_SYNC=0 -DCLAIM=1|I1
OVERLAP|break|-DOVERLAP=0|I1
TRIAL|break|-DTRIAL=0|I1
TRIAL.2|spare|-DTRIAL=2|-
PEND_TRIAL|break|-DPEND_TRIAL=0|I8
SRV_SYNC|break|-DSRV_SYNC=0|I3
SAY_SYNC|spare|-DSAY_SYNC=0|-
SAY_SYNC.bare|break|-DSAY_SYNC=0 -DACKED=0 -DTMO_BACK=0|I5
SAY_SYNC.held|hold|-DACKED=0 -DTMO_BACK=0|-
REPLAY|break|-DREPLAY=0|I3
WIPE_LATE|break|-DWIPE_LATE=0|I1
OP_FRESH|break|-DOP_FRESH=0|I5
OP_FRESH.I1|break|-DOP_FRESH=0 -DCHECK=1|I1
RECONCILE|break|-DRECONCILE=0|I1
ROT_SESS|break|-DROT_SESS=0 $RESTORED|I1
RETIRED|break|-DRETIRED=0 $TWO_HUBS|I5
ACKED|break|-DACKED=0|I5
PROM_LATE|break|-DPROM_LATE=0 -DAPP=1|I5
TMO_BACK|break|-DTMO_BACK=0 -DLIVE=1 -DBADCRED=2|LV
CYCLE|break|-DCYCLE=0 -DLIVE=1|LV
OLD_FIRST|spare|-DOLD_FIRST=0|-
OLD_FIRST.live|spare|-DOLD_FIRST=0 -DLIVE=1|-
REV_ATOMIC|break|-DREV_ATOMIC=0|I3
KICK_REV|break|-DKICK_REV=0|I3
KICK_COM|break|-DKICK_COM=0|I2
CSR_ONCE|spare|-DCSR_ONCE=0|-
CSR_BIND|break|-DCSR_BIND=0 -DROGUE=1|I4
TICKET_ONCE|break|-DTICKET_ONCE=0 -DCLAIM=1 -DTHIEF=1|I1
TICKET_ONCE.2|break|-DTICKET_ONCE=2 -DCLAIM=1 -DTHIEF=1|I1
TICKET_ONCE.I4|break|-DTICKET_ONCE=0 -DCLAIM=1 -DTHIEF=1 -DCHECK=8|I4
CLAIM_SAME|break|-DCLAIM_SAME=0 -DCLAIM=1|I1
ENR_IDLE|break|-DENR_IDLE=0 -DCLAIM=1|I1
VOID_TICK|break|-DVOID_TICK=0 -DREPLACE=1|I3
CLOSE_OPS|break|-DCLOSE_OPS=0 $RESTORED|I1
ROLLFWD|break|-DROLLFWD=0 $RESTORED|I1
WITNESS|spare|-DWITNESS=0 $RESTORED|-
"

TALK=1
[ "$JSON" = 0 ] || TALK=2
tell() { printf '%s\n' "$*" >&"$TALK"; }

# --- one run, in a directory of its own ------------------------------------------------------------------

# The search: breadth first where a trail is wanted, so that it is a shortest one; depth first, with
# states compressed, where all have to be seen. -O0 where gcc would take longer than the search.
search() { # KIND SIZE...
	local kind=$1 cc='-O0 -DSAFETY -DCOLLAPSE' run='-m3000000 -w20'
	shift
	case $kind in
	reach | break | limit) cc='-O0 -DSAFETY -DBFS' run=-w20 ;;
	loop) cc='-O0 -DNP -DCOLLAPSE' run='-l -m3000000 -w20' ;;
	esac
	case " $* " in
	*RESTORE=1* | *CLONE=1* | *NK=5*) cc=${cc/-O0/-O1} run=${run/-w20/-w24} ;;
	esac
	spin -a "$@" rollover.pml >spin.log 2>&1 && [ -f pan.c ] || return 1
	# shellcheck disable=SC2086 # lists of options
	cc $cc -w -DNOFAIR -DNOREDUCE -o pan pan.c >cc.log 2>&1 || return 1
	# shellcheck disable=SC2086
	./pan $run >pan.log 2>&1
	grep -q 'errors: ' pan.log && ! grep -qE 'max search depth too small|out of memory|Search not completed' <(
		grep -v '^(Spin' pan.log | if grep -q 'errors: 0' pan.log; then cat; fi
	)
}

# Files in the directory: states, depth, steps, broken ("I1", "reached", "cycle", "-" or "?"), seconds
run_one() { # NAME KIND SWITCHES
	local dir=$KT_TMP/$1 kind=$2 begun=$EPOCHREALTIME
	mkdir -p "$dir" && cd "$dir" && cp "$MODEL" . || return
	# shellcheck disable=SC2086
	set -- $3
	if [ "$LARGE" = 1 ] && [[ $kind == hold || $kind == loop ]]; then
		set -- "$@" -DMAXOP=3 -DNK=5
	fi
	echo '?' >broken
	if search "$kind" "$@"; then
		sed -nE 's/^ *([0-9.e+]+) states, stored.*/\1/p' pan.log | head -n 1 >states
		sed -nE 's/.*depth reached ([0-9]+).*/\1/p' pan.log >depth
		if grep -q 'errors: 0' pan.log; then
			echo - >broken
		elif grep -q 'non-progress cycle' pan.log; then
			echo cycle >broken
		elif spin -k rollover.pml.trail "$@" rollover.pml 2>/dev/null | sed -n 's/^ *step: //p' >trail; then
			sed -nE 's/^(I[1-8]|LV) BROKEN$/\1/p; s/^REACHED$/reached/p' trail | tail -n 1 >broken
			grep -cvE ' BROKEN$|^REACHED$' trail >steps
		fi
	fi
	awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $begun }" >seconds
	rm -f pan pan.? # the large ones would fill the disk
}

# --- what came of it ------------------------------------------------------------------------------------------

field() { cat "$KT_TMP/$1/$2" 2>/dev/null || true; } # NAME FIELD

wanted() { # KIND EXPECTED
	case $1 in
	break | limit) echo "$2" ;;
	reach) echo reached ;;
	*) echo - ;;
	esac
}

result_text() { # KIND BROKEN STEPS
	case $2 in
	-) if [ "$1" = spare ]; then echo 'breaks nothing'; else echo 'holds'; fi ;;
	reached) echo "reached in $3 steps" ;;
	cycle) echo 'a cycle without progress' ;;
	'?' | '') echo 'the search failed' ;;
	*) echo "$2 broken in $3 steps" ;;
	esac
}

ROWS=()
report() { # NAME KIND SWITCHES EXPECTED
	local broken steps text line want
	broken=$(field "$1" broken) steps=$(field "$1" steps) want=$(wanted "$2" "$4")
	text=$(result_text "$2" "$broken" "$steps")
	line=$(printf '%-15s %9s states %5s deep %6s s  %s' "$1" "$(field "$1" states)" "$(field "$1" depth)" \
		"$(field "$1" seconds)" "$text")
	if [ "$broken" = "$want" ]; then
		ok "$line" >&"$TALK"
	else
		not_ok "$line; expected: $want ${3:+($3)}" "$(cat "$KT_TMP/$1/trail" "$KT_TMP/$1/spin.log" \
			"$KT_TMP/$1/cc.log" 2>/dev/null | tail -n 60)" >&"$TALK"
		[ "$broken" != '?' ] || tail -n 20 "$KT_TMP/$1/pan.log" >&2
	fi
	ROWS+=("$(printf '{"name":"%s","kind":"%s","switches":"%s","states":%s,"depth":%s,"seconds":%s,"steps":%s,"broken":"%s","expected":"%s"}' \
		"$1" "$2" "$3" "$(number "$(field "$1" states)")" "$(number "$(field "$1" depth)")" \
		"$(number "$(field "$1" seconds)")" "$(number "$steps")" "$broken" "$want")")
}

number() { # TEXT: as JSON, null if there is none
	if [[ $1 =~ ^[0-9]+(\.[0-9]+)?(e\+?[0-9]+)?$ ]]; then printf '%s' "$1"; else printf null; fi
}

# A rule in the model without a run here would be a rule that nobody tests.
check_rules() {
	local rule count=0
	while read -r rule; do
		count=$((count + 1))
		grep -qE "^[^|]*\|(break|spare)\|[^|]*-D$rule=0" <<<"$RUNS" || not_ok "rule $rule is never knocked out" >&"$TALK"
	done < <(sed -n '/^\/\* --- the rules/,/^\/\* --- the world/s/^#ifndef \([A-Z_]*\).*/\1/p' "$MODEL")
	check_eq "every rule of the model ($count) is knocked out" "$((count > 0)) $KT_FAILED" '1 0' >&"$TALK"
}

# --- all of them, two at a time ---------------------------------------------------------------------------------

command -v spin >/dev/null || fatal 'spin is not installed: apt-get install spin (see tests/packages.txt)'
command -v cc >/dev/null || fatal 'cc is not installed (see tests/packages.txt)'
make_tmp
begun=$SECONDS
check_rules
pids=()
while IFS='|' read -r name kind switches _; do
	[[ -n $name && $name == *"$ONLY"* ]] || continue
	[ "${#pids[@]}" -lt 2 ] || { wait "${pids[0]}"; pids=("${pids[@]:1}"); }
	run_one "$name" "$kind" "$switches" &
	pids+=($!)
done <<<"$RUNS"
wait
while IFS='|' read -r name kind switches expected; do
	[[ -n $name && $name == *"$ONLY"* ]] || continue
	report "$name" "$kind" "$switches" "$expected"
done <<<"$RUNS"
tell "$((SECONDS - begun)) s"
if [ "$JSON" = 1 ]; then
	rows=$(IFS=,; echo "${ROWS[*]}")
	printf '{"large":%s,"runs":[%s],"passed":%d,"failed":%d}\n' \
		"$([ "$LARGE" = 1 ] && echo true || echo false)" "$rows" "$KT_PASSED" "$KT_FAILED"
fi
finish
