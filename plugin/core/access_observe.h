/*
 * access_observe - the rules of enforce = observe: what a fleet that is being taken over may go on
 * doing.
 *
 * For access.c and access_acl.c only. Decides after them, and only on plain clients: Keyturn's own
 * client ids, user names, certificates and topics are judged as ever. Pure. Broker's thread.
 */
#ifndef KT_ACCESS_OBSERVE_H
#define KT_ACCESS_OBSERVE_H

#include "access.h"

/*
 * Turns a verdict on a client that the site's own rules may judge into one that changes nothing for
 * it; out->would says what the verdict was for. Left as it is: who shows a revoked, superseded or
 * pending credential, or one of our trust domain that the registry does not hold, and who comes
 * under a name of Keyturn's own or of a device that was revoked or deleted.
 */
void kt_observe_connect(const struct kt_access *access, const struct kt_connect *connect,
			const struct kt_client_name *name, struct kt_admission *out);

/*
 * May a client that is not in the table be judged as one of the others, by its names alone? Not by
 * those of Keyturn's own, nor of a device that was put out or quarantined.
 */
bool kt_observe_are_names_free(const struct kt_access *access, const char *client_id,
			       const char *username);

#endif
