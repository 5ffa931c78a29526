#!/bin/sh
# Makes the certificate requests beside this file (DER) with the openssl CLI: one good, the others
# each with what their name says.
set -eu
cd "$(dirname "$0")"
keys=../keys

request() { # name, key, lines of the req section and what follows
	name=$1 key=$2
	shift 2
	{
		printf '[req]\nprompt = no\ndistinguished_name = dn\n'
		printf '%s\n' "$@"
		printf '[dn]\nCN = hub-17\n'
	} >req.cnf
	openssl req -new -config req.cnf -key "$key" -outform DER -out "$name.der" ${digest:+"$digest"}
	rm -f req.cnf
}

request good $keys/rfc6979.pkcs8.key 'attributes = a' '[a]' 'challengePassword = bound'
request plain $keys/rfc6979.pkcs8.key
request usual $keys/rfc6979.pkcs8.key 'req_extensions = e' '[e]' \
	'basicConstraints = critical,CA:FALSE' 'keyUsage = critical,digitalSignature' \
	'extendedKeyUsage = clientAuth' 'subjectAltName = URI:spiffe://evil.example/device/x'
request ca $keys/rfc6979.pkcs8.key 'req_extensions = e' '[e]' 'basicConstraints = critical,CA:TRUE'
request ca-not-critical $keys/rfc6979.pkcs8.key 'req_extensions = e' '[e]' 'basicConstraints = CA:TRUE'
request cert-sign $keys/rfc6979.pkcs8.key 'req_extensions = e' '[e]' 'keyUsage = keyCertSign'
request unknown-critical $keys/rfc6979.pkcs8.key 'req_extensions = e' '[e]' \
	'1.2.3.4 = critical,DER:05:00'
request unknown-attribute $keys/rfc6979.pkcs8.key 'attributes = a' '[a]' 'unstructuredName = x'
request long-challenge $keys/rfc6979.pkcs8.key 'attributes = a' '[a]' \
	'challengePassword = 0123456789012345678901234567890123456789012345678901234567890123'
request rsa1024 $keys/rsa1024.key
request p384 $keys/p384.key
request secp256k1 $keys/secp256k1.key
request ed25519 $keys/ed25519.key
digest=-sha384
request sha384 $keys/rfc6979.pkcs8.key
digest=-sha1
request sha1 $keys/rfc6979.pkcs8.key
