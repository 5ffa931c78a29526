/*
 * identity_script - an enrolment and two rotations, as the agent's core drives the identity store:
 * one step after the other, each repeated until it succeeds.
 *
 * Knows as well what the server accepts at each moment, so that a test can ask after any accident:
 * does the hub still hold a credential that gets it in?
 */
#ifndef KT_TEST_IDENTITY_SCRIPT_H
#define KT_TEST_IDENTITY_SCRIPT_H

#include "agent_pki.h"
#include "fake_fs.h"
#include "identity_store.h"

#define SCRIPT_STATE_DIR "/var/lib/keyturn"
#define SCRIPT_DEVICE	 "hub-17"

/* A key's public half by the SHA-256 of its PEM: ten thousand crash states, three keys. */
struct known_key {
	uint8_t pem_sha256[32];
	struct kt_public_key key;
};
enum { KNOWN_KEYS = 32 };

struct identity_script {
	struct agent_pki *pki;
	struct fake_fs *fs;
	struct kt_key_store *keys;
	struct kt_identity_store *store;
	struct kt_chain chain;
	/* what the server lets in; zero: nothing yet */
	struct kt_fingerprint accepted[2];
	struct known_key known[KNOWN_KEYS];
	size_t known_count;
	size_t step;
	unsigned failures; /* steps that reported an error */
	bool was_told;	   /* an open that left something undone said so */
};

struct identity_script *identity_script_new(struct agent_pki *pki);
void identity_script_free(struct identity_script *script);
/* Opens the store of @fs (a crashed one as well). */
enum kt_err identity_script_open(struct identity_script *script, struct fake_fs *fs,
				 struct kt_key_store **keys, struct kt_identity_store **out,
				 char why[static 512]);
size_t identity_script_count(void);
const char *identity_script_name(size_t step);
/* One step; false if it failed. */
bool identity_script_step(struct identity_script *script);
/* All steps that are left; a failed one is tried again, @tries times at most each. */
void identity_script_run(struct identity_script *script, unsigned tries);
/*
 * Fails the test unless the store in @fs opens and holds a credential that the server accepts
 * (none is needed before there is one), complete: its files, its link.
 */
void identity_script_check(struct identity_script *script, struct fake_fs *fs);
/*
 * The same where one copy of the record cannot be read: it opens, says so, and holds such a
 * credential, or (false) it refuses to open because the other copy is not good either.
 */
bool identity_script_check_alone(struct identity_script *script, struct fake_fs *fs);

#endif
