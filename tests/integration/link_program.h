/* link_program - the agent's transport without an agent, as the programs of test_links.sh begin. */
#ifndef KT_TEST_LINK_PROGRAM_H
#define KT_TEST_LINK_PROGRAM_H

#include <stdint.h>

#include "transport_paho.h"

/* TLS 1.3 to localhost, no client certificate; NULL: it cannot begin. Once in a process. */
struct kt_paho *link_program_begin(const char *port, const char *root_pem, const char *root_der);
/* False: it cannot. */
bool link_program_open(struct kt_paho *paho, enum kt_link link, const char *client_id,
		       const char *topic);
int64_t link_program_now_ms(void);

#endif
