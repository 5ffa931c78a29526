/*
 * fake_crypto - certificates that a person can read, for tests of the core's rules.
 *
 * A "DER" certificate here is the text "URI|notBefore|notAfter|anything" in seconds; whatever is
 * not of that shape does not decode. Where anything is "g<number>...", that is the generation; a
 * certificate for a CA has "ca" in it, one that another CA has signed "forged". Its key is named
 * like the certificate. Linked in with --wrap, see tests/CMakeLists.txt.
 */
#ifndef FAKE_CRYPTO_H
#define FAKE_CRYPTO_H

#include "crypto.h"

struct kt_bytes fake_cert(const char *text);
struct kt_fingerprint fake_fingerprint(const char *text);

#endif
