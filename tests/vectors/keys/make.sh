#!/bin/sh
# Makes the private keys beside this file with the openssl CLI: one P-256 key (RFC 6979 A.2.5) in
# every form that we read, and the kinds that we refuse. For tests only.
set -eu
cd "$(dirname "$0")"
d=c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721
p=0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299
echo "30770201010420${d}a00a06082a8648ce3d030107a144034200${p}" |
	perl -ne "chomp; print pack(q(H*), \$_)" |
	openssl ec -inform DER -out rfc6979.sec1.key 2>/dev/null
openssl pkcs8 -topk8 -nocrypt -in rfc6979.sec1.key -out rfc6979.pkcs8.key
{ openssl ecparam -name prime256v1; cat rfc6979.sec1.key; } >rfc6979.params.key
openssl ec -in rfc6979.sec1.key -no_public -out rfc6979.nopub.key 2>/dev/null
openssl pkcs8 -topk8 -v2 aes-256-cbc -passout pass:test -in rfc6979.sec1.key -out encrypted.key
openssl ecparam -name secp384r1 -genkey -noout -out p384.key
openssl ecparam -name secp256k1 -genkey -noout -out secp256k1.key
openssl genrsa -out rsa1024.key 1024 2>/dev/null
openssl genpkey -algorithm ED25519 -out ed25519.key
