#!/usr/bin/env bash
# The model of the rollover (tests/model/rollover.pml), searched by spin.
#
#   tests/model.sh [--large] [--json] [--only NAME]
#
# Runs that must hold, states that must be reachable, and for every rule of the model what breaks without
# it: a knock-out that finds no counterexample fails. One line for each run; ends with
# "N passed, N failed". With --json stdout has two lines, the document and the counts; the story goes to
# stderr. --large: 3 ops and 5 keys where it must hold, in place of 2 and 4: minutes, and gigabytes.
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

# name | kind | program | switches | expected
#   hold     every invariant holds in every state            (expected: -)
#   loop     there is no cycle in which nothing gets done    (expected: -)
#   reach    the state is reachable: the model is not empty  (expected: -)
#   break    a rule is off: this invariant must break
#   limit    what no rule can keep: this invariant must break
#   spare    a rule is off, and nothing breaks               (expected: -)
RUNS='
base|hold|base||-
base.live|hold|base|LIVE=1|-
base.loop|loop|base|LIVE=1|-
base.mute|hold|base|LIVE=1 BADCRED=2|-
base.reach|reach|base|REACH=1|-
clone|hold|clone|CLONE=1 BADCRED=0 CANCEL_OPS=0 APP=0|-
clone.reach|reach|clone|CLONE=1 BADCRED=0 REACH=2 APP=0|-
claim|hold|claim|CLAIM=1 APP=0|-
claim.live|hold|claim|CLAIM=1 LIVE=1 APP=0|-
claim.loop|loop|claim|CLAIM=1 LIVE=1 APP=0|-
claim.reach|reach|claim|CLAIM=1 REACH=1 APP=0|-
approve|hold|claim|CLAIM=2 APP=0|-
approve.live|hold|claim|CLAIM=2 LIVE=1 APP=0|-
approve.loop|loop|claim|CLAIM=2 LIVE=1 APP=0|-
thief|hold|claim|CLAIM=1 THIEF=1 APP=0|-
thief.live|hold|claim|CLAIM=1 THIEF=1 LIVE=1 APP=0|-
thief.reach|reach|claim|CLAIM=1 THIEF=1 REACH=5 APP=0|-
replace|hold|claim|REPLACE=1 APP=0|-
replace.live|hold|claim|REPLACE=1 LIVE=1 APP=0|-
replace.reach|reach|claim|REPLACE=1 REACH=4 APP=0|-
restore|hold|restore|CHECK=57 APP=0 REVOKE=0|-
restore.live|hold|restore|CHECK=57 LIVE=1 APP=0 REVOKE=0|-
restore.reach|reach|restore|CHECK=57 REACH=3 BADCRED=0 REVOKE=0 APP=0|-
restore.I2|limit|restore|CHECK=2 APP=0 REVOKE=0|I2
restore.I3|limit|restore|CHECK=4 APP=0|I3
SYNC_KEY|break|base|SYNC_KEY=0|I5
SYNC_CERT|break|base|SYNC_CERT=0|I1
CLAIM_SYNC|break|claim|CLAIM_SYNC=0 CLAIM=1 APP=0|I1
OVERLAP|break|base|OVERLAP=0|I1
TRIAL|break|base|TRIAL=0|I1
TRIAL.2|spare|base|TRIAL=2|-
PEND_TRIAL|break|base|PEND_TRIAL=0|I8
SRV_SYNC|break|base|SRV_SYNC=0|I3
SRV_SYNC.I1|break|base|SRV_SYNC=0 CHECK=1|I1
SRV_SYNC.I2|break|base|SRV_SYNC=0 CHECK=2|I2
SAY_SYNC|spare|base|SAY_SYNC=0|-
SAY_SYNC.bare|break|base|SAY_SYNC=0 ACKED=0 TMO_BACK=0 APP=0|I5
SAY_SYNC.held|hold|base|ACKED=0 TMO_BACK=0 APP=0|-
REPLAY|break|base|REPLAY=0|I3
WIPE_LATE|break|base|WIPE_LATE=0|I1
OP_FRESH|break|base|OP_FRESH=0|I5
OP_FRESH.I1|break|base|OP_FRESH=0 CHECK=1|I1
RECONCILE|break|base|RECONCILE=0|I1
ROT_SESS|break|restore|ROT_SESS=0 CHECK=57 APP=0 REVOKE=0|I1
RETIRED|break|clone|RETIRED=0 CLONE=1 BADCRED=0 CANCEL_OPS=0 APP=0|I5
ACKED|break|base|ACKED=0|I5
PROM_LATE|break|base|PROM_LATE=0|I5
TMO_BACK|break|base|TMO_BACK=0 LIVE=1 BADCRED=2|LV
CYCLE|break|base|CYCLE=0 LIVE=1|LV
OLD_FIRST|spare|base|OLD_FIRST=0|-
OLD_FIRST.live|spare|base|OLD_FIRST=0 LIVE=1|-
REV_ATOMIC|break|base|REV_ATOMIC=0|I3
REV_ATOMIC.I2|break|base|REV_ATOMIC=0 CHECK=2|I2
KICK_REV|break|base|KICK_REV=0|I3
KICK_COM|break|base|KICK_COM=0|I2
CSR_ONCE|spare|base|CSR_ONCE=0|-
CSR_BIND|break|base|CSR_BIND=0 ROGUE=1|I4
TICKET_ONCE|break|claim|TICKET_ONCE=0 CLAIM=1 THIEF=1 APP=0|I1
TICKET_ONCE.I4|break|claim|TICKET_ONCE=0 CLAIM=1 THIEF=1 CHECK=8 APP=0|I4
TICKET_ONCE.2|break|claim|TICKET_ONCE=2 CLAIM=1 THIEF=1 APP=0|I1
CLAIM_SAME|break|claim|CLAIM_SAME=0 CLAIM=1 APP=0|I1
ENR_IDLE|break|claim|ENR_IDLE=0 CLAIM=1 APP=0|I1
VOID_TICK|break|claim|VOID_TICK=0 REPLACE=1 APP=0|I3
CLOSE_OPS|break|restore|CLOSE_OPS=0 CHECK=57 APP=0 REVOKE=0|I1
ROLLFWD|break|restore|ROLLFWD=0 CHECK=57 APP=0 REVOKE=0|I1
WITNESS|spare|restore|WITNESS=0 CHECK=57 APP=0 REVOKE=0|-
'

declare -A PARTS=(
	[base]=""
	[clone]='-DTWO=1'
	[claim]='-DTWO=1 -DLANE=1'
	[restore]='-DRESTORE=1'
)

TALK=1
[ "$JSON" = 0 ] || TALK=2
tell() { printf '%s\n' "$*" >&"$TALK"; }

# --- search programs -----------------------------------------------------------------------------------

# The model's switches, as "NAME DEFAULT".
switches() {
	sed -n '/^#ifdef RULES/,/^#endif \/\* RULES/s/^#define \([A-Z_]*\) \([0-9]*\)$/\1 \2/p' "$MODEL"
}

# Switches become variables that the search program reads from its environment: one serves many runs.
write_rules() { # MODE: breadth first, spin knows no variables outside of the state
	local name value type='hidden byte' where=
	[ "$1" != trail ] || { type=byte where=now.; }
	switches | while read -r name value; do
		printf '%s %s = %s;\n' "$type" "$name" "$value"
	done
	echo 'inline read_rules() { c_code { char *v;'
	switches | while read -r name _; do
		printf 'if ((v = getenv("%s")) != NULL) %s%s = atoi(v);\n' "$name" "$where" "$name"
	done
	echo '} }'
}

# How a kind of run is searched: breadth first where a trail is wanted, so that it is a shortest one;
# depth first, with states compressed, where all of them have to be seen.
mode_of() { # KIND
	case $1 in
	reach | break | limit) echo trail ;;
	loop) echo loop ;;
	*) echo all ;;
	esac
}

is_large() { [ "$LARGE" = 1 ] && [ "$1" != trail ]; } # MODE

build() { # PROGRAM MODE: $KT_TMP/PROGRAM.MODE/pan
	local dir=$KT_TMP/$1.$2 flags=-O0 parts=${PARTS[$1]} log # with -O1 gcc takes longer than the search
	case $2 in
	trail) flags+=' -DSAFETY -DBFS' ;;
	loop) flags+=' -DNP -DCOLLAPSE' ;;
	all) flags+=' -DSAFETY -DCOLLAPSE' ;;
	esac
	if is_large "$2"; then
		flags=${flags/-O0/-O1} parts+=' -DMAXOP=3 -DNK=5'
	fi
	log=$dir/build.log
	mkdir -p "$dir" && cd "$dir" && cp "$MODEL" . && write_rules "$2" >rules.pml || return
	# shellcheck disable=SC2086 # lists of options
	spin -a -DRULES $parts rollover.pml >"$log" 2>&1 &&
		cc $flags -w -DNOFAIR -DNOREDUCE -o pan pan.c >>"$log" 2>&1
}

# --- one run ---------------------------------------------------------------------------------------------

# Files in the run's directory: states, depth, steps, seconds (of a processor), and broken: "I1", "reached", "cycle", "-", or
# "?" if the search did not come to its end.
run_one() { # NAME KIND PROGRAM SWITCHES
	local dir=$KT_TMP/run.$1 mode pan options TIMEFORMAT=%U
	mode=$(mode_of "$2") pan=$KT_TMP/$3.$mode/pan
	mkdir -p "$dir" && cd "$dir" || return
	echo '?' >broken
	options=(-w21)
	[ "$mode" = trail ] || options+=(-m200000)
	[ "$mode" != loop ] || options+=(-l)
	! is_large "$mode" || options[0]=-w26
	# shellcheck disable=SC2086
	{ time env $4 "$pan" "${options[@]}" >pan.log 2>&1; } 2>seconds
	sed -nE 's/^ *([0-9.e+]+) states, stored.*/\1/p' pan.log | head -n 1 >states
	sed -nE 's/.*depth reached ([0-9]+).*/\1/p' pan.log >depth
	if ! grep -q 'errors: ' pan.log || grep -qE 'depth too small|out of memory|unclear|: error:' pan.log; then
		return
	elif grep -q 'errors: 0' pan.log; then
		grep -q 'Search not completed' pan.log || echo - >broken
	elif grep -q 'non-progress cycle' pan.log; then
		echo cycle >broken
	else
		# shellcheck disable=SC2086
		env $4 "$pan" -r rollover.pml.trail 2>/dev/null | sed -n 's/^ *step: //p' >trail
		sed -nE 's/^(I[1-8]|LV) BROKEN$/\1/p; s/^REACHED$/reached/p' trail | tail -n 1 >broken
		grep -cvE ' BROKEN$|^REACHED$' trail >steps
	fi
}

# --- what came of it ------------------------------------------------------------------------------------------

field() { cat "$KT_TMP/run.$1/$2" 2>/dev/null || true; } # NAME FIELD

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
report() { # NAME KIND PROGRAM SWITCHES EXPECTED
	local broken steps text line want
	broken=$(field "$1" broken) steps=$(field "$1" steps) want=$(wanted "$2" "$5")
	text=$(result_text "$2" "$broken" "$steps")
	line=$(printf '%-15s %9s states %5s deep %6s s  %s' "$1" "$(field "$1" states)" "$(field "$1" depth)" \
		"$(field "$1" seconds)" "$text")
	if [ "$broken" = "$want" ]; then
		ok "$line" >&"$TALK"
	else
		not_ok "$line; expected: $want ($3${4:+ $4})" "$(cat "$KT_TMP/run.$1/trail" "$KT_TMP/$3.$(mode_of "$2")/build.log" \
			2>/dev/null | tail -n 60)" >&"$TALK"
		[ "$broken" != '?' ] || tail -n 20 "$KT_TMP/run.$1/pan.log" >&2
	fi
	ROWS+=("$(printf '{"name":"%s","kind":"%s","program":"%s","switches":"%s",' "$1" "$2" "$3" "$4")$(
		printf '"states":%s,"depth":%s,"seconds":%s,"steps":%s,' "$(number "$(field "$1" states)")" \
			"$(number "$(field "$1" depth)")" "$(number "$(field "$1" seconds)")" "$(number "$steps")")$(
		printf '"broken":"%s","expected":"%s"}' "$broken" "$want")")
}

number() { # TEXT: as JSON, null if there is none
	if [[ $1 =~ ^[0-9]+(\.[0-9]+)?(e\+?[0-9]+)?$ ]]; then printf '%s' "$1"; else printf null; fi
}

# A rule in the model without a run here would be a rule that nobody tests.
check_rules() {
	local rule count=0
	while read -r rule; do
		count=$((count + 1))
		grep -qE "^[^|]*\|(break|spare)\|[^|]*\|([^|]* )?$rule=0" <<<"$RUNS" ||
			not_ok "rule $rule is never knocked out" >&"$TALK"
	done < <(sed -n '/^#ifdef RULES/,/^\/\* --- the world/s/^#ifndef \([A-Z_]*\).*/\1/p' "$MODEL")
	check_eq "every rule of the model ($count) is knocked out" "$((count > 20)) $KT_FAILED" '1 0' >&"$TALK"
}

# --- all of them, two at a time ---------------------------------------------------------------------------------

PIDS=()
in_background() { # COMMAND...
	[ "${#PIDS[@]}" -lt 2 ] || { wait "${PIDS[0]}"; PIDS=("${PIDS[@]:1}"); }
	"$@" &
	PIDS+=($!)
}

each_run() { # FUNCTION: with the five fields of every run that is wanted
	local name kind program switches expected
	while IFS='|' read -r name kind program switches expected; do
		[[ -z $name || $name != *"$ONLY"* ]] || "$1" "$name" "$kind" "$program" "$switches" "$expected"
	done <<<"$RUNS"
}

program_of() { echo "$3 $(mode_of "$2")"; }
in_turn() { in_background run_one "$@"; }

command -v spin >/dev/null || fatal 'spin is not installed: apt-get install spin (see tests/packages.txt)'
command -v cc >/dev/null || fatal 'cc is not installed (see tests/packages.txt)'
make_tmp
begun=$SECONDS
check_rules
while read -r program mode; do
	in_background build "$program" "$mode"
done < <(each_run program_of | sort -u)
wait
PIDS=()
each_run in_turn
wait
each_run report
times >"$KT_TMP/times"
tell "$((SECONDS - begun)) s; of a processor, user and system: $(sed -n 2p "$KT_TMP/times")"
if [ "$JSON" = 1 ]; then
	rows=$(IFS=,; echo "${ROWS[*]}")
	printf '{"large":%s,"runs":[%s],"passed":%d,"failed":%d}\n' \
		"$([ "$LARGE" = 1 ] && echo true || echo false)" "$rows" "$KT_PASSED" "$KT_FAILED"
fi
finish
