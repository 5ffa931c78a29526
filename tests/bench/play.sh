# play.sh - a benchmark whose part is in Python: bench/NAME.py with bench/play.py. To be sourced by run.sh.
# shellcheck shell=bash
# shellcheck disable=SC2153 # TALK, JSON: run.sh's

# play NAME [OPTION...]: its story goes to the reader, its checks are counted here, its document printed.
play() {
	local name=$1 passed failed code=0
	shift
	PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$KT_ROOT/tests/bench:$KT_ROOT/tests/fleet setpriv --pdeathsig KILL /usr/bin/python3 -B \
		"$KT_ROOT/tests/bench/$name.py" --top "$KT_TMP" --build "$KT_BUILD" --broker "$KT_BROKER" "$@" \
		</dev/null 1>&"$TALK" 2>"$KT_TMP/$name.err" &
	KT_PIDS+=($!)
	wait $!
	code=$?
	forget_pid $!
	if read -r passed failed 2>/dev/null <"$KT_TMP/$name.counts"; then
		KT_PASSED=$((KT_PASSED + passed)) KT_FAILED=$((KT_FAILED + failed))
	else
		not_ok "$name came to its end (exit $code)" "$(tail -n 20 "$KT_TMP/$name.err")" >&"$TALK"
	fi
	if [ "$JSON" = 1 ] && [ -s "$KT_TMP/$name.json" ]; then
		cat "$KT_TMP/$name.json"
	fi
}
