/*
 * setup_crl - the start's part in the revocation list: may it be written there, and what came
 * before?
 *
 * For setup.c. Broker's thread, before the loop.
 */
#ifndef KT_SETUP_CRL_H
#define KT_SETUP_CRL_H

#include "setup.h"

/*
 * Nothing to do without crl_file. Fills setup->last_crl from a list of ours that is there already:
 * numbers only grow. A file that is no list would be lost: KT_ERR_EXISTS. KT_ERR_VERIFY: the
 * issuing CA may not sign lists. KT_ERR_RANGE, KT_ERR_TOO_LONG, KT_ERR_SYS, KT_ERR_NOMEM; *why says
 * it.
 */
KT_MUST_CHECK enum kt_err kt_setup_crl(const struct kt_setup_request *request,
				       struct kt_setup *setup, const struct kt_cert *issuer,
				       char why[static 512]);

#endif
