/*
 * fleet - registries for tests, made of the same records that the plugin writes.
 *
 * A record that does not fit ends the test program: fixtures are ours.
 */
#ifndef FLEET_H
#define FLEET_H

#include "registry.h"

#define FLEET_TD "example.test"
enum { FLEET_TIME_S = 1700000000 }; /* when every fixture record was written */

struct kt_registry *fleet_new(void); /* with ledger.begin */
struct kt_record fleet_record(struct kt_registry *registry, enum kt_record_kind kind,
			      const char *device);
void fleet_apply(struct kt_registry *registry, const struct kt_record *record);
/* A record that needs no more than a device and an op. */
void fleet_simple(struct kt_registry *registry, enum kt_record_kind kind, const char *device,
		  uint64_t op);
struct kt_key_id fleet_key(const char *name);
struct kt_nonce fleet_nonce(uint8_t fill);
/* Registers, issues and commits: ACTIVE with certificate @cert (text) as generation 1, op 1. */
const struct kt_device *fleet_active(struct kt_registry *registry, const char *id,
				     const char *group, const char *cert);
/* Opens op @op (nonce filled with the op's low byte). */
void fleet_open(struct kt_registry *registry, const char *id, uint64_t op);
/* Issues @cert for the open op; its key is named like the certificate. */
void fleet_issue(struct kt_registry *registry, const char *id, const char *cert);
void fleet_issue_until(struct kt_registry *registry, const char *id, const char *cert,
		       int64_t not_after_s);
void fleet_commit(struct kt_registry *registry, const char *id);

#endif
