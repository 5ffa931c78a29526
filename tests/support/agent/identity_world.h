/*
 * identity_world - a hub's identity store on the kernel's file system, and credentials for it.
 *
 * A fresh directory for each test; world_setup and world_teardown are cmocka's.
 */
#ifndef KT_TEST_IDENTITY_WORLD_H
#define KT_TEST_IDENTITY_WORLD_H

#include "agent_pki.h"
#include "bad_fs.h"
#include "identity_store.h"

enum { WORLD_FIRST = 7 }; /* directory of world_stable's credential */

struct world {
	char root[64]; /* of the test; the store lies in root/state */
	char state_dir[80];
	struct agent_pki *pki;
	struct kt_key_store *keys;
	struct kt_identity_store *store;
	struct kt_identity_config config;
	struct kt_chain *chain;
	char why[512];
	mode_t umask;
	struct bad_fs bad;
};

struct world_path {
	char s[160];
};

int world_setup(void **state);
int world_teardown(void **state);
/* Again, if it is open. */
enum kt_err world_open(struct world *w);
void world_close(struct world *w);
/* Of a file in the state directory. */
struct world_path world_at(const struct world *w, const char *name);
void world_assert_mode(const struct world *w, const char *name, mode_t mode);
bool world_has(const struct world *w, const char *name);
void world_put(const struct world *w, const char *name, const void *bytes, size_t len, mode_t mode);
void world_put_vector(const struct world *w, const char *name, const char *vector);
/* Another byte in it. */
void world_damage(const struct world *w, const char *name);
void world_assert_link(const struct world *w, const char *want);
/* A certificate for the key of @dir into @w->chain. */
void world_chain_for(struct world *w, uint64_t dir, const char *device, uint32_t generation);
enum kt_err world_save_cert(struct world *w, const struct kt_agent_record *record,
			    enum kt_reason *reason, struct kt_fingerprint *fp);
/* Opens, and makes a key for @dir: NEW with it, or KEY where there is a credential. */
struct kt_agent_record world_with_key(struct world *w, uint64_t dir);
/* And its certificate: CERT. */
struct kt_agent_record world_with_cert(struct world *w, uint64_t dir);
/* STABLE with directory 7, linked. */
void world_stable(struct world *w);

#endif
