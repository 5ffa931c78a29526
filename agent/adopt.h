/*
 * adopt - the files of an identity that this hub has from elsewhere, into its store.
 *
 * Reads and checks them against each other; identity_store.h makes them durable. One thread.
 */
#ifndef KT_ADOPT_H
#define KT_ADOPT_H

#include "hub.h"

struct kt_adopt_files { /* borrowed */
	const char
		*cert; /* PEM: the leaf first, then its issuers, as far as the broker needs them */
	const char *key; /* PEM, P-256 */
};

/*
 * *why: a sentence, also where it was adopted already (KT_ERR_EXISTS). The device id is the
 * configuration's, else the certificate's common name. KT_ERR_STATE: the hub has an identity, or
 * one is under way; KT_ERR_MISSING_FIELD: root_cert; KT_ERR_VERIFY, KT_ERR_INVALID,
 * KT_ERR_UNSUPPORTED; KT_ERR_SYS, KT_ERR_NOMEM. Nothing is changed then.
 */
KT_MUST_CHECK enum kt_err kt_adopt(struct kt_hub *hub, const struct kt_adopt_files *files,
				   char why[static KT_HUB_WHY_MAX]);

#endif
