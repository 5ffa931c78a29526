/*
 * fake_disk - the agent's disk and keys without either: a record in memory, lines for what is done.
 *
 *   save cert a=1 p=200 r=0 none      (phase; active, pending, retired; step)
 *   key 200 / cert 200 / link 200 / wipe 1
 *
 * A sealed message is its type's name; the message itself is kept for the test to read. What the
 * test puts into @incoming is what the next open finds in any text; without it nothing verifies.
 */
#ifndef KT_TEST_FAKE_DISK_H
#define KT_TEST_FAKE_DISK_H

#include "agent.h"
#include "trace.h"

struct fake_disk {
	struct kt_agent_disk table;
	struct trace *trace;
	struct kt_agent_record record;
	struct kt_message *sealed; /* the last one; owned */
	uint64_t sealed_by;
	char csr_challenge[64]; /* of the last CSR */
	char csr_name[80];
	struct kt_message *incoming; /* owned until it is opened */
	struct kt_verdict verdict;   /* of every open; of every chain: floor_s alone */
	struct kt_fingerprint leaf;  /* of the next certificate */
	enum kt_reason bad_cert;     /* not NONE: the next certificates are refused with it */
	unsigned saves_to_fail;	     /* the next so many */
	unsigned keys_to_fail;
	unsigned links_to_fail;
	unsigned wipes_to_fail;
	uint64_t leftover; /* a directory that a crash left: the key there exists already */
};

void fake_disk_init(struct fake_disk *d, struct trace *trace);
void fake_disk_clear(struct fake_disk *d);

#endif
