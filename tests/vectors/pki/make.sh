#!/bin/sh
# Makes the test PKI beside this file, keys included: for tests only, without end.
set -eu
cd "$(dirname "$0")"
umask 022
end=99991231235959Z

ca() { # name, subject, issuer ("" = itself), extensions...
	name=$1 subject=$2 issuer=$3
	shift 3
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$name.key"
	openssl req -new -key "$name.key" -subj "$subject" -out "$name.csr"
	printf '%s\n' "$@" >"$name.ext"
	sign "$name" "$issuer"
}

sign() { # name, issuer
	: >index.txt
	printf 'unique_subject = no\n' >index.txt.attr
	cat >ca.cnf <<CNF
[ca]
default_ca = x
[x]
database = index.txt
rand_serial = yes
new_certs_dir = .
default_md = sha256
policy = any
[any]
commonName = supplied
organizationName = optional
CNF
	self=""
	[ -n "$2" ] || self=-selfsign
	openssl ca -batch -notext -config ca.cnf -in "$1.csr" -out "$1.pem" $self \
		-keyfile "${2:-$1}.key" ${2:+-cert "$2.pem"} -extfile "$1.ext" \
		-startdate 20200101000000Z -enddate "$end" 2>/dev/null
	rm -f "$1.csr" "$1.ext" index.txt* ca.cnf ./????????????????????????????????????????.pem
}

ca root "/O=Keyturn tests/CN=root" "" \
	"basicConstraints=critical,CA:TRUE" "keyUsage=critical,keyCertSign,cRLSign" \
	"subjectKeyIdentifier=hash"
ca issuing "/O=Keyturn tests/CN=issuing" root \
	"basicConstraints=critical,CA:TRUE,pathlen:0" "keyUsage=critical,keyCertSign,cRLSign" \
	"subjectKeyIdentifier=hash" "authorityKeyIdentifier=keyid:always"
ca other-root "/O=Keyturn tests/CN=root" "" \
	"basicConstraints=critical,CA:TRUE" "keyUsage=critical,keyCertSign,cRLSign" \
	"subjectKeyIdentifier=hash"
ca controller "/CN=controller-1" root \
	"basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature" \
	"subjectKeyIdentifier=hash" "authorityKeyIdentifier=keyid:always" \
	"extendedKeyUsage=2.25.207586152398166391847395816255904181067" \
	"subjectAltName=URI:spiffe://fleet.example/controller/1"
