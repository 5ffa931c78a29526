/*
 * hubs - many hubs of one fleet at a core under the test's hand, each with its agent's session.
 *
 * Hub n is "hub-<n>" of the group "west", with certificates that name their generation. Stands on
 * fake_ports.h with sync_at_once.
 */
#ifndef HUBS_H
#define HUBS_H

#include "fake_ports.h"

enum { HUBS_AGENT = 100000, HUBS_TRIAL = 200000 }; /* + n: the clients */

/* A core over @count hubs with a credential of generation 1, none of them in session. */
struct fake *hubs_new(unsigned count);
const struct kt_device *hubs_device(const struct fake *f, unsigned n);
void hubs_connect(struct fake *f, unsigned n);
/* Does what its open op asks for, to the commit, and is in session with the new credential. */
void hubs_commit(struct fake *f, unsigned n);

#endif
