/*
 * agent_ports - the real disk, hooks and entropy of the agent's core (the tables of agent.h).
 *
 * Thin: what is kept is identity_store.h, what is believed is trust.h, who is told is hooks.h. One
 * thread.
 */
#ifndef KT_AGENT_PORTS_H
#define KT_AGENT_PORTS_H

#include "agent.h"
#include "crypto.h"
#include "err.h"
#include "hooks.h"
#include "identity_store.h"

struct kt_agent_ports { /* caller's storage: fill with kt_agent_ports_init, do not move */
	struct kt_agent_disk disk;
	struct kt_agent_hooks hooks;
	struct kt_agent_entropy entropy;
	/* private */
	struct kt_identity_store *store;
	struct kt_crypto *crypto;
	struct kt_hooks *runner;
	uint8_t root[KT_CERT_MAX];
	size_t root_len; /* 0: not read yet */
};

/* All borrowed as long as @ports is used. The root is read from the store when it is first needed:
 * before it is pinned every message is refused (cert.chain). */
void kt_agent_ports_init(struct kt_agent_ports *ports, struct kt_identity_store *store,
			 struct kt_crypto *crypto, struct kt_hooks *runner);

#endif
