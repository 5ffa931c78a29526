#!/bin/bash
# Does keyturn-pki make the certificates of DESIGN section 2, and nothing by halves?

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
make_tmp
P=$KT_TMP/pki
TD=example.org
EKU=$(sed -n 's/^#define KT_EKU_CONTROLLER_OID "\(.*\)"/\1/p' "$KT_ROOT/common/crypto/crypto.h")
SHOW='-certopt no_pubkey,no_sigdump,no_serial,no_version,no_signame'

# extension FILE NAME: the lines under one extension's heading, one space apart; "critical" first.
extension() {
	# shellcheck disable=SC2086
	openssl x509 -in "$1" -noout -text $SHOW | awk -v name="X509v3 $2:" '
		index($0, name) { on = 1; crit = /critical/; next }
		on && /X509v3|^    [^ ]/ { exit }
		on { gsub(/^ +| +$/, ""); out = out " " $0 }
		END { print (crit ? "critical" : "plain") out }'
}

end_of() { openssl x509 -in "$1" -noout -enddate -dateopt iso_8601; }
start_of() { openssl x509 -in "$1" -noout -startdate -dateopt iso_8601; }
listing() { (cd "$1" && find . -mindepth 1 | sort | xargs -r sha256sum 2>/dev/null); }

verify() { # FILE [OPTIONS...]
	local file=$1
	shift
	check "openssl verify -x509_strict accepts $file ($*)" \
		openssl verify -x509_strict -CAfile "$P/root.pem" "$@" "$P/$file"
}

refuses() { # NAME EXIT_CODE REGEX ARGUMENTS...: fails so, says why, and changes nothing in $P
	local name=$1 code=$2 regex=$3 before
	shift 3
	before=$(listing "$P")
	check_fails "$name" "$code" "$KT_PKI" "$@"
	printf '%s\n' "$KT_OUT" >"$KT_TMP/out"
	check_line "$name: says so" "$KT_TMP/out" "$regex"
	check_eq "$name: nothing has changed" "$(listing "$P")" "$before"
}

# --- init
check 'init makes a PKI' "$KT_PKI" init "$P" --trust-domain "$TD"
for f in root.key root.pem issuing.key issuing.pem controller-1.key controller-1.pem \
	clients.pem trust-domain; do
	check_eq "$f is there with mode 0600" "$(stat -c %a "$P/$f")" 600
done
check_eq 'the directory has mode 0700' "$(stat -c %a "$P")" 700
check_eq 'nothing else is left in the directory' \
	"$(find "$P" -mindepth 1 | wc -l)" 8
verify root.pem
verify issuing.pem
verify controller-1.pem
check_eq 'the root may sign certificates' "$(extension "$P/root.pem" 'Basic Constraints')" \
	'critical CA:TRUE'
check_eq 'the issuing CA has path length 0' "$(extension "$P/issuing.pem" 'Basic Constraints')" \
	'critical CA:TRUE, pathlen:0'
check_eq "the issuing CA's key usage" "$(extension "$P/issuing.pem" 'Key Usage')" \
	'critical Certificate Sign, CRL Sign'
check_eq 'the controller is no CA' "$(extension "$P/controller-1.pem" 'Basic Constraints')" \
	'critical CA:FALSE'
check_eq "the controller's key usage" "$(extension "$P/controller-1.pem" 'Key Usage')" \
	'critical Digital Signature'
check_eq "the controller's extended key usage is that of common/crypto/crypto.h alone" \
	"$(extension "$P/controller-1.pem" 'Extended Key Usage')" "plain $EKU"
check_eq "the controller's only name" "$(extension "$P/controller-1.pem" 'Subject Alternative Name')" \
	"plain URI:spiffe://$TD/controller/1"
check_eq 'the controller is issued by the root itself' \
	"$(openssl x509 -in "$P/controller-1.pem" -noout -issuer | sed 's/^issuer=//')" \
	"$(openssl x509 -in "$P/root.pem" -noout -subject | sed 's/^subject=//')"
check_fails 'the controller is no TLS client' any \
	openssl verify -x509_strict -purpose sslclient -CAfile "$P/root.pem" "$P/controller-1.pem"
check_fails 'the controller is no TLS server' any \
	openssl verify -x509_strict -purpose sslserver -CAfile "$P/root.pem" "$P/controller-1.pem"
for f in root issuing controller-1; do
	check_eq "$f has no end" "$(end_of "$P/$f.pem")" 'notAfter=9999-12-31 23:59:59Z'
	check_eq "$f starts with the root" "$(start_of "$P/$f.pem")" "$(start_of "$P/root.pem")"
	check_eq "$f has a P-256 key, its own" \
		"$(openssl pkey -in "$P/$f.key" -pubout)" "$(openssl x509 -in "$P/$f.pem" -noout -pubkey)"
	check "$f: the curve is P-256" sh -c "openssl pkey -in '$P/$f.key' -noout -text | grep -q P-256"
	check "$f has subject and authority key ids" sh -c "openssl x509 -in '$P/$f.pem' -noout \
		-ext subjectKeyIdentifier,authorityKeyIdentifier | grep -c '[0-9A-F]:' | grep -qx 2"
done
check 'the root is valid since yesterday' openssl verify -attime $(($(date +%s) - 80000)) \
	-CAfile "$P/root.pem" "$P/issuing.pem"
check_eq 'clients.pem is the root and the issuing CA' "$(cat "$P/clients.pem")" \
	"$(cat "$P/root.pem" "$P/issuing.pem")"
check_eq 'the trust domain is on record' "$(cat "$P/trust-domain")" "$TD"

# --- broker
check 'broker makes a server certificate' \
	"$KT_PKI" broker "$P" --name 'localhost,broker.example.org,127.0.0.1,::1'
verify broker.pem -purpose sslserver
check "the broker's certificate is for its host name" openssl verify -x509_strict \
	-CAfile "$P/root.pem" -verify_hostname broker.example.org "$P/broker.pem"
check "the broker's certificate is for its address" openssl verify -x509_strict \
	-CAfile "$P/root.pem" -verify_ip ::1 "$P/broker.pem"
check_fails 'and for no other host' any openssl verify -x509_strict \
	-CAfile "$P/root.pem" -verify_hostname example.org "$P/broker.pem"
check_fails 'the broker is no TLS client' any \
	openssl verify -x509_strict -purpose sslclient -CAfile "$P/root.pem" "$P/broker.pem"
check_eq "the broker's names" "$(extension "$P/broker.pem" 'Subject Alternative Name')" \
	'plain DNS:localhost, DNS:broker.example.org, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1'
check_eq "the broker's extended key usage" "$(extension "$P/broker.pem" 'Extended Key Usage')" \
	'plain TLS Web Server Authentication'
check_eq 'the chain file holds two certificates' "$(grep -c BEGIN "$P/broker.pem")" 2
check_eq 'the root is last in it' "$(awk '/BEGIN/ { out = "" } { out = out $0 "\n" } END { printf "%s", out }' \
	"$P/broker.pem")" "$(cat "$P/root.pem")"
check_eq 'the broker has no end' "$(end_of "$P/broker.pem")" 'notAfter=9999-12-31 23:59:59Z'
check_eq 'the key has mode 0600' "$(stat -c %a "$P/broker.key")" 600
check 'a second broker under another name' "$KT_PKI" broker "$P" --name b.example.org --out second

# --- operator, claim, controller
LINE=$("$KT_PKI" operator "$P" --name alice 2>/dev/null)
FP=$(openssl x509 -in "$P/operator-alice.pem" -noout -fingerprint -sha256 | sed 's/.*=//; s/://g' | tr A-F a-f)
check_eq 'operator prints the configuration line' "$LINE" \
	"operator = cert:spiffe://$TD/operator/alice sha256:$FP admin"
check_eq 'and the role asked for' \
	"$("$KT_PKI" operator "$P" --name bob --role viewer 2>/dev/null | sed 's/.* //')" viewer
for role in rotator enroller revoker admin; do
	check_eq "or $role" "$("$KT_PKI" operator "$P" --name "a-$role" --role "$role" 2>/dev/null | sed 's/.* //')" "$role"
done
verify operator-alice.pem -purpose sslclient
check_eq "the operator's only name" "$(extension "$P/operator-alice.pem" 'Subject Alternative Name')" \
	"plain URI:spiffe://$TD/operator/alice"
check_eq "the operator's extended key usage" "$(extension "$P/operator-alice.pem" 'Extended Key Usage')" \
	'plain TLS Web Client Authentication'
check 'claim makes a certificate' "$KT_PKI" claim "$P" --batch line-3
verify claim-line-3.pem -purpose sslclient
check_eq "the claim's only name" "$(extension "$P/claim-line-3.pem" 'Subject Alternative Name')" \
	"plain URI:spiffe://$TD/claim/line-3"
check 'a second controller' "$KT_PKI" controller "$P" --number 7
verify controller-7.pem
check_eq "the second controller's only name" \
	"$(extension "$P/controller-7.pem" 'Subject Alternative Name')" "plain URI:spiffe://$TD/controller/7"
for f in broker operator-alice claim-line-3 controller-7; do
	check_eq "$f is no CA" "$(extension "$P/$f.pem" 'Basic Constraints')" 'critical CA:FALSE'
	check_eq "$f: key usage" "$(extension "$P/$f.pem" 'Key Usage')" 'critical Digital Signature'
	check_fails "$f is not under the issuing CA" any openssl verify -no-CApath -no-CAstore \
		-partial_chain -CAfile "$P/issuing.pem" "$P/$f.pem"
done

# --- refusals: nothing is overwritten, nothing is left over
refuses 'init again' 1 'root.key exists' init "$P" --trust-domain "$TD"
refuses 'broker again' 1 'broker.key exists' broker "$P" --name localhost
refuses 'operator again' 1 'operator-alice.key exists' operator "$P" --name alice
refuses 'claim again' 1 'claim-line-3.key exists' claim "$P" --batch line-3
refuses 'controller again' 1 'controller-7.key exists' controller "$P" --number 7
refuses 'a lower controller' 1 'must be higher than 7' controller "$P" --number 6
refuses 'an address that is none' 1 'cannot make .*/x.pem' broker "$P" --name 999.1.1.1 --out x
: >"$P/operator-half.pem"
refuses 'one of the two files exists' 1 'operator-half.pem exists' operator "$P" --name half
rm "$P/operator-half.pem"
mv "$P/root.key" "$KT_TMP/away.key"
refuses 'the root key is away' 1 'root.key is missing' operator "$P" --name carol
refuses 'a wrong root key' 1 'is not the key of' operator "$P" --name carol --root-key "$P/issuing.key"
refuses 'a root key that is none' 1 'not a private key' operator "$P" --name carol --root-key "$P/root.pem"
check 'the root key from elsewhere' "$KT_PKI" operator "$P" --name carol --root-key "$KT_TMP/away.key"
mv "$KT_TMP/away.key" "$P/root.key"
check_fails 'no PKI there' 1 "$KT_PKI" broker "$KT_TMP/none" --name localhost
check_fails 'init into a place that cannot be made' 1 "$KT_PKI" init "$P/root.pem/x" --trust-domain "$TD"

# --- a failure in the middle: openssl fails at the third certificate, so nothing must remain
mkdir "$KT_TMP/bin"
cat >"$KT_TMP/bin/openssl" <<FAKE
#!/bin/sh
case "\$*" in *controller-1.csr*) echo broken >&2; exit 1 ;; esac
exec $(command -v openssl) "\$@"
FAKE
chmod +x "$KT_TMP/bin/openssl"
check_fails 'openssl fails half-way' 1 env PATH="$KT_TMP/bin:$PATH" "$KT_PKI" init "$KT_TMP/half" \
	--trust-domain "$TD"
check_eq 'then no file remains' "$(find "$KT_TMP/half" -mindepth 1)" ''

# --- arguments
for td in '' 'Example.org' 'a_b' 'a b' 'a/b' "$(printf 'a%.0s' {1..256})"; do
	check_fails "trust domain '${td:0:12}' is refused" 2 "$KT_PKI" init "$KT_TMP/td" --trust-domain "$td"
done
check_eq 'and no directory is made for it' "$(ls -d "$KT_TMP/td" 2>/dev/null)" ''
LONG=$(printf 'a%.0s' {1..255})
check 'a trust domain of 255 characters' "$KT_PKI" init "$KT_TMP/long" --trust-domain "$LONG"
check_eq 'it is in the controller certificate whole' \
	"$(extension "$KT_TMP/long/controller-1.pem" 'Subject Alternative Name')" \
	"plain URI:spiffe://$LONG/controller/1"
check_fails 'no command' 2 "$KT_PKI"
check_fails 'an unknown command' 2 "$KT_PKI" make "$P"
check_fails 'no directory' 2 "$KT_PKI" init --trust-domain "$TD"
check_fails 'no trust domain' 2 "$KT_PKI" init "$KT_TMP/td"
check_fails 'two directories' 2 "$KT_PKI" claim "$P" "$P" --batch b
check_fails 'an option of another command' 2 "$KT_PKI" claim "$P" --batch b --name x
check_fails 'an option without its value' 2 "$KT_PKI" claim "$P" --batch
check_fails 'a short option' 2 "$KT_PKI" claim "$P" -b x
for name in '' 'a b' '../x' '-x' 'a/b' 'a,b' '.x' "$(printf 'a%.0s' {1..64})"; do
	check_fails "operator name '${name:0:12}' is refused" 2 "$KT_PKI" operator "$P" --name "$name"
	check_fails "batch '${name:0:12}' is refused" 2 "$KT_PKI" claim "$P" --batch "$name"
done
for host in '' ',' 'a,' 'a,,b' 'a b' '1.2' 'x:y' 'DNS:x' '*.example.org' 'a;b' 'fe80::1%eth0'; do
	check_fails "host '$host' is refused" 2 "$KT_PKI" broker "$P" --out y --name "$host"
done
for n in 0 -1 x 1x 007 1.5 9999999999; do
	check_fails "controller number '$n' is refused" 2 "$KT_PKI" controller "$P" --number "$n"
	check_fails "$n days are refused" 2 "$KT_PKI" claim "$P" --batch b --days "$n"
done
check_fails 'a role that is none' 2 "$KT_PKI" operator "$P" --name x --role root
check_fails 'a base name with a slash' 2 "$KT_PKI" broker "$P" --name localhost --out ../x
check 'help is a success' "$KT_PKI" help

# --- finite lifetimes
"$KT_PKI" init "$KT_TMP/short" --trust-domain "$TD" --root-days 400 --issuing-days 300 \
	--controller-days 200 2>"$KT_TMP/out"
for what in 'root:400' 'issuing:300' 'controller-1:200'; do
	f=$KT_TMP/short/${what%:*}.pem days=${what#*:}
	check "${what%:*} lives $days days" openssl x509 -in "$f" -noout -checkend $((days * 86400 - 600))
	check_fails "${what%:*} lives no longer" 1 openssl x509 -in "$f" -noout -checkend $((days * 86400 + 1))
done
check_eq 'each finite end is warned of' "$(grep -c 'warning: the .* certificate ends at' "$KT_TMP/out")" 3
check_line "the root's end is called a lock-out" "$KT_TMP/out" 'the root certificate ends .* EVERY hub'

# --- names that a configuration file or a shell would eat
ODD="$KT_TMP/a b\$c #d"
check 'a directory with an odd name' "$KT_PKI" init "$ODD" --trust-domain "$TD"
check 'works for the others too' "$KT_PKI" broker "$ODD" --name localhost
check_eq 'nothing is left over there' "$(find "$ODD" -mindepth 1 -name '.*')" ''

finish
