#!/bin/bash
# Does whoever kept the signed heads find out what was done to a ledger: edited, a record removed, the
# order changed, its end cut off, all of it written anew; and is a false head told from a good one?

# shellcheck disable=SC2119 # scene_start without a command in front
# shellcheck disable=SC2016 # $SYS is a topic
# shellcheck disable=SC2317 # functions that check and wait_for call
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/integration/scene.sh
. "$(dirname "$0")/scene.sh"
make_tmp

CTL=$KT_BUILD/keyturnctl
HEADS=$KT_TMP/state/heads.jsonl
[ -x "$CTL" ] || fatal "keyturnctl is not built in $KT_BUILD"
scene_pki
scene_operator vera viewer
KEYTURN_LINES+=('head_every = 1s')
scene_write

ctl() { "$CTL" --unix "$KT_TMP/op.sock" "$@"; }
# says NAME EXIT_CODE TEXT COMMAND...: run once; exit code, and a line of its output that matches
says() {
	local name=$1 code=$2 text=$3 got=0
	shift 3
	KT_OUT=$("$@" 2>&1 </dev/null) || got=$?
	check_eq "$name" "$got" "$code"
	check_line "$name: says so" <(printf '%s\n' "$KT_OUT") "$text"
}
verify() { # LEDGER [OPTION...]: against what the broker has signed
	"$CTL" audit verify "$1" --heads "$KT_TMP/heads" --root "$KT_TMP/pki/root.pem" "${@:2}"
}
# The broker has signed record N, and says so.
signed_up_to() { wait_for_line 20 "$KT_TMP/broker.log" "event=ledger\\.signed seq=$1 "; }
durable_seq() { ctl status | sed -n 's/^durableSeq  *//p'; }
# As a viewer's client gets it: whoever reads the gauges keeps the evidence, too.
viewer_sub() {
	mosquitto_sub -h localhost -p "$PORT" --cafile "$KT_TMP/pki/root.pem" --cert "$KT_TMP/pki/operator-vera.pem" \
		--key "$KT_TMP/pki/operator-vera.key" -i op:vera -V mqttv5 -W 10 "$@"
}
# payload_of FILE LINE: what a head says
payload_of() { sed -n "$2p" "$1" | /usr/bin/python3 -c '
import base64, json, sys
print(base64.urlsafe_b64decode(json.load(sys.stdin)["payload"] + "==").decode())'; }
header_of() { sed -n "$2p" "$1" | /usr/bin/python3 -c '
import base64, json, sys
print(json.loads(base64.urlsafe_b64decode(json.load(sys.stdin)["protected"] + "=="))["typ"])'; }

# --- heads appear -------------------------------------------------------------------------------------------

scene_start
check 'the first record is signed soon after the start' signed_up_to 1
for hub in hub-1 hub-2 hub-3; do ctl create-device "$hub" >/dev/null; done
ctl quarantine hub-1 --note 'a look' >/dev/null
SEQ=$(durable_seq)
check_eq 'so many records are durable' "$SEQ" 5
check 'they are signed' signed_up_to "$SEQ"
check_eq 'the file is for the broker alone' "$(stat -c %a "$HEADS")" 600
check_eq 'it holds whole lines' "$(tail -c 1 "$HEADS" | od -An -tx1 | tr -d ' ')" 0a
viewer_sub -C 1 -t '$SYS/broker/keyturn/head' >"$KT_TMP/head.json"
check_eq 'the newest one is retained on the topic' "$(cat "$KT_TMP/head.json")" "$(tail -n 1 "$HEADS")"
check_eq 'its typ is one of its own' "$(header_of "$KT_TMP/head.json" 1)" 'keyturn-head+1'
last=$(sed -n "${SEQ}p" "$KT_TMP/ledger/ledger.kt" | cut -c1-64)
check_line 'it says what the ledger says' <(payload_of "$KT_TMP/head.json" 1) \
	"^\\{\"v\":1,\"type\":\"head\",\"td\":\"$TD\",\"seq\":\"$SEQ\",\"hash\":\"$last\",\"time\":\"[0-9]{16}\"\\}$"
mosquitto_pub --unix "$KT_TMP/op.sock" -i op:sender -q 1 -t '$SYS/broker/keyturn/head' -m forged -V mqttv5 || true
check_eq 'nobody else writes there' "$(viewer_sub -C 1 -t '$SYS/broker/keyturn/head')" "$(tail -n 1 "$HEADS")"

# --- it holds -----------------------------------------------------------------------------------------------

cp "$HEADS" "$KT_TMP/heads" # elsewhere, as the manual asks for
says 'beside the running broker' 0 '^verdict +whole$' verify "$KT_TMP/ledger"
check_line 'up to the newest record' <(printf '%s\n' "$KT_OUT") "^proven up to +record $SEQ, 20[0-9-]+T"
says 'what the client saved proves the same' 0 "^proven up to +record $SEQ," \
	"$CTL" audit verify "$KT_TMP/ledger" --heads "$KT_TMP/head.json" --root "$KT_TMP/pki/root.pem"
says 'both together' 0 '^signed heads +[0-9]+$' verify "$KT_TMP/ledger" --heads "$KT_TMP/head.json"
says 'with the broker'"'"'s own configuration' 0 '^verdict +whole$' \
	"$CTL" --config "$KT_TMP/keyturn.conf" audit verify --heads "$HEADS"
check 'a backup is made' "$CTL" --config "$KT_TMP/keyturn.conf" backup "$KT_TMP/backup"
says 'and holds as well' 0 '^verdict +whole$' verify "$KT_TMP/backup"

# --- what the ledger says -------------------------------------------------------------------------------------

says 'a record in words' 0 '^20[0-9T:-]+Z 5 actor=op:unix kind=quarantine device=hub-1 note="a look"$' \
	"$CTL" audit show "$KT_TMP/ledger" --device hub-1
check_eq 'no other device'"'"'s' "$(printf '%s\n' "$KT_OUT" | grep -c '^20')" 2
says 'by kind and actor' 0 ' 3 actor=op:unix kind=device\.create device=hub-2$' \
	"$CTL" audit show "$KT_TMP/ledger" --actor op:unix --kind device.create
check_eq 'of another time there are none' "$("$CTL" audit show "$KT_TMP/ledger" --until 2020-01-01)" ''
"$CTL" audit export "$KT_TMP/ledger" >"$KT_TMP/export"
check 'every exported record has its hash, and the one before it' /usr/bin/python3 -c '
import hashlib, json, sys
prev = "0" * 64
lines = open(sys.argv[1]).read().splitlines()
for line in lines:
    text = line[len("{\"hash\":\"\",\"record\":") + 64:-1]
    hash = json.loads(line)["hash"]
    assert hashlib.sha256(text.encode()).hexdigest() == hash, line
    assert json.loads(text)["prev"] == prev, line
    prev = hash
assert len(lines) == int(sys.argv[2]), len(lines)' "$KT_TMP/export" "$SEQ"

# --- after a restart -----------------------------------------------------------------------------------------

scene_stop
printf '{"protected":"half a li' >>"$HEADS" # a power cut
says 'half a line at the end is no alarm' 0 '^verdict +whole$' \
	"$CTL" audit verify "$KT_TMP/ledger" --heads "$HEADS" --root "$KT_TMP/pki/root.pem"
before=$(grep -c 'event=ledger\.signed' "$KT_TMP/broker.log")
scene_start
check 'a start signs what is there' wait_for_lines 20 "$KT_TMP/broker.log" 'event=ledger\.signed' $((before + 1))
check_eq 'it cuts the half line' "$(grep -c 'half a li' "$HEADS")" 0
viewer_sub -C 1 -t '$SYS/broker/keyturn/head' >"$KT_TMP/head.json"
says 'and publishes it again' 0 "^proven up to +record $SEQ," \
	"$CTL" audit verify "$KT_TMP/ledger" --heads "$KT_TMP/head.json" --root "$KT_TMP/pki/root.pem"
ctl release hub-1 >/dev/null
check 'and goes on' signed_up_to $((SEQ + 1))
cp "$HEADS" "$KT_TMP/heads"
SEQ=$((SEQ + 1))

# --- a file that cannot be written -----------------------------------------------------------------------------

mv "$HEADS" "$KT_TMP/aside"
mkdir "$HEADS"
ctl create-device hub-4 >/dev/null
check 'is told' wait_for_line 20 "$KT_TMP/broker.log" "event=ledger\\.unsigned seq=$((SEQ + 1)) why=\"Is a directory\""
check_eq 'and does no harm' "$(durable_seq)" $((SEQ + 1))
viewer_sub -C 1 -t '$SYS/broker/keyturn/head' >"$KT_TMP/head.json"
check_line 'the topic has it all the same' <(payload_of "$KT_TMP/head.json" 1) "\"seq\":\"$((SEQ + 1))\""
rmdir "$HEADS"
mv "$KT_TMP/aside" "$HEADS"
check 'and the file, as soon as it can be written' signed_up_to $((SEQ + 1))
SEQ=$((SEQ + 1))
cp "$HEADS" "$KT_TMP/heads"
scene_stop

# --- what was done to the ledger --------------------------------------------------------------------------------

copy() { # NAME: a ledger to do harm to
	rm -rf "${KT_TMP:?}/$1"
	cp -r "$KT_TMP/ledger" "$KT_TMP/$1"
	FILE=$KT_TMP/$1/ledger.kt
}
copy edited
sed -i '2s/hub-1/hub-9/' "$FILE"
says 'an edited record' 5 'line 2 of .* \(record 2\) does not verify: its hash is not that of its text' verify "$KT_TMP/edited"
copy removed
sed -i 3d "$FILE"
says 'a removed one' 5 '\(record 3\) does not verify: .* which is nowhere: a record was removed' verify "$KT_TMP/removed"
copy reordered
sed -i '3{h;d};4G' "$FILE"
says 'two in another order' 5 '\(record 3\) does not verify: .* records were put in another order' verify "$KT_TMP/reordered"
copy truncated
sed -i '$d' "$FILE"
sed -i '$d' "$FILE"
says 'without its end it is a whole ledger' 0 '^verdict +whole$' "$CTL" audit verify "$KT_TMP/truncated"
says 'but for the signed heads' 7 \
	"line [0-9]+: truncated: the signed head says that record $SEQ existed on 20[0-9T:-]+Z; the ledger ends at record $((SEQ - 2))$" \
	verify "$KT_TMP/truncated"
says 'also as JSON' 7 '^\{"verdict":"truncated",' verify "$KT_TMP/truncated" --json
copy rewritten
/usr/bin/python3 - "$FILE" <<'END'
# All of it anew from record 2 on: hub-1 was never there. Whoever can write the file can do this.
import hashlib, re, sys
lines, prev = [], None
for line in open(sys.argv[1], encoding="ascii"):
    text = line[65:-1].replace("hub-1", "hub-7")
    if prev is not None:
        text = re.sub('"prev":"[0-9a-f]{64}"', f'"prev":"{prev}"', text)
    prev = hashlib.sha256(text.encode()).hexdigest()
    lines.append(f"{prev} {text}\n")
open(sys.argv[1], "w", encoding="ascii").writelines(lines)
END
says 'written anew it is a whole ledger' 0 '^verdict +whole$' "$CTL" audit verify "$KT_TMP/rewritten"
says 'but for the signed heads, again' 7 \
	"line [0-9]+: rewritten: the signed head says that record $SEQ had the hash [0-9a-f]{64} on 20[0-9T:-]+Z; the ledger's has [0-9a-f]{64}$" \
	verify "$KT_TMP/rewritten"
check_line 'what was before it holds' <(printf '%s\n' "$KT_OUT") '^proven up to +record 1,'

# --- what was done to a head --------------------------------------------------------------------------------------

"$KT_PKI" init "$KT_TMP/false" --trust-domain "$TD" >>"$KT_TMP/pki.log" 2>&1
"$KT_PKI" init "$KT_TMP/other" --trust-domain other.example >>"$KT_TMP/pki.log" 2>&1
# forge PKI TD SEQ >FILE: a head of that PKI's controller for the truncated ledger
forge() {
	/usr/bin/python3 - "$KT_TMP/$1" "$2" "$3" "$KT_TMP/truncated/ledger.kt" <<'END'
import base64, json, subprocess, sys
pki, td, seq, ledger = sys.argv[1:]
b64 = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode()
der = subprocess.run(["openssl", "x509", "-in", f"{pki}/controller-1.pem", "-outform", "DER"],
                     check=True, capture_output=True).stdout
digest = open(ledger).read().splitlines()[int(seq) - 1][:64]
dumps = lambda value: json.dumps(value, separators=(",", ":")).encode()
protected = b64(dumps({"alg": "ES256", "typ": "keyturn-head+1", "x5c": [base64.b64encode(der).decode()]}))
payload = b64(dumps({"v": 1, "type": "head", "td": td, "seq": seq, "hash": digest, "time": "1800000000000000"}))
sig = subprocess.run(["openssl", "dgst", "-sha256", "-sign", f"{pki}/controller-1.key"],
                     input=f"{protected}.{payload}".encode(), check=True, capture_output=True).stdout
def integer(at):  # DER to 32 bytes
    length = sig[at + 1]
    return sig[at + 2:at + 2 + length].lstrip(b"\0").rjust(32, b"\0"), at + 2 + length
r, at = integer(2)
s, _ = integer(at)
print(json.dumps({"protected": protected, "payload": payload, "signature": b64(r + s)}, separators=(",", ":")))
END
}
forge false "$TD" 3 >"$KT_TMP/forged"
says 'a head of a false controller' 8 "forged, line 1: forged: the head of record 3 is not signed by a controller of $TD under " \
	"$CTL" audit verify "$KT_TMP/truncated" --heads "$KT_TMP/forged" --root "$KT_TMP/pki/root.pem"
says 'hides nothing that a good one shows' 7 ': truncated: ' verify "$KT_TMP/truncated" --heads "$KT_TMP/forged"
check_line 'and is told of as well' <(printf '%s\n' "$KT_OUT") ': forged: '
forge other other.example 3 >"$KT_TMP/foreign"
says 'a head of another domain' 8 "foreign, line 1: foreign: the head is of trust domain other\\.example, the ledger of $TD$" \
	"$CTL" audit verify "$KT_TMP/ledger" --heads "$KT_TMP/foreign" --root "$KT_TMP/other/root.pem"
forge pki "$TD" 3 >"$KT_TMP/good"
says 'the same, made with the right key, holds' 0 '^proven up to +record 3,' \
	"$CTL" audit verify "$KT_TMP/ledger" --heads "$KT_TMP/good" --root "$KT_TMP/pki/root.pem"
sed 's/"signature":"./"signature":"_/' "$KT_TMP/good" >"$KT_TMP/bad"
says 'with one letter of its signature changed it does not' 8 ': forged: ' \
	"$CTL" audit verify "$KT_TMP/ledger" --heads "$KT_TMP/bad" --root "$KT_TMP/pki/root.pem"
head -c 200 "$KT_TMP/good" >"$KT_TMP/half"
says 'and half of it is none at all' 6 'there is no signed head in it' \
	"$CTL" audit verify "$KT_TMP/ledger" --heads "$KT_TMP/half" --root "$KT_TMP/pki/root.pem"

# --- switched off ---------------------------------------------------------------------------------------------------

KEYTURN_LINES+=('head_every = 0')
scene_write
lines=$(wc -l <"$HEADS")
signed=$(grep -c 'event=ledger\.signed' "$KT_TMP/broker.log")
scene_start
ctl create-device hub-5 >/dev/null
check_eq 'no thread writes files' "$(ps -T -p "$BROKER" -o comm= | grep -c keyturn-list)" 0
scene_stop
check_eq 'nothing is signed' "$(grep -c 'event=ledger\.signed' "$KT_TMP/broker.log")" "$signed"
check_eq 'nor written' "$(wc -l <"$HEADS")" "$lines"
check_no_line 'no secret went to any log' <(cat "$KT_TMP"/*.log) 'PRIVATE KEY'
finish
