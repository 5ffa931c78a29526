/*
 * sim_crypto - the primitives of crypto.h, replaced at link time (--wrap, see
 * tests/CMakeLists.txt).
 *
 * Fast: a key is 32 random bytes, its public point two hashes of them, a signature a keyed hash of
 * key and message, SHA-256 a quicker hash: whoever does not hold the key's bytes does not make it
 * here, and a changed byte is found. Certificates, requests and JWS are encoded and decoded by the
 * product all the same. Real: the same calls go to wolfCrypt. Either way all random bytes come from
 * one seeded stream.
 */
#ifndef SIM_CRYPTO_H
#define SIM_CRYPTO_H

#include <stdbool.h>
#include <stdint.h>

/* Before each run: which of the two, and the seed of all keys. */
void sim_crypto_begin(bool is_real, uint64_t seed);

#endif
