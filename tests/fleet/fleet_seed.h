/*
 * fleet_seed - the disk of a hub that enrolled long ago, made of a certificate and its key.
 *
 * Through the product's own identity store, so that what lies there is what an agent leaves. One
 * thread.
 */
#ifndef FLEET_SEED_H
#define FLEET_SEED_H

#include "crypto.h"
#include "durable_file.h"
#include "err.h"
#include "types.h"

#define FLEET_STATE_DIR "/hub"

struct fleet_seed { /* all borrowed for the call */
	const struct kt_fs *fs;
	struct kt_crypto *crypto;
	const char *trust_domain;
	struct kt_bytes root;	  /* DER */
	struct kt_bytes identity; /* PEM: leaf, its issuers, the key */
};

/* The device's id is the certificate's. KT_ERR_INVALID: the identity is none; the store's. */
KT_MUST_CHECK enum kt_err fleet_seed_enrolled(const struct fleet_seed *seed,
					      struct kt_device_id *device);

#endif
