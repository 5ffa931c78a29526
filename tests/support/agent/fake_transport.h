/*
 * fake_transport - links that do nothing by themselves: opens, sends and closes become lines.
 *
 *   open trial hub-17:trial /state/200     (client id, identity; "-" for none)
 *   send agent csr
 *   close agent
 */
#ifndef KT_TEST_FAKE_TRANSPORT_H
#define KT_TEST_FAKE_TRANSPORT_H

#include "trace.h"
#include "transport.h"

struct fake_transport {
	struct kt_transport table;
	struct trace *trace;
	char topic[KT_LINK_COUNT][128]; /* of the last open */
	int64_t time_s[KT_LINK_COUNT];
	bool open_fails;
	bool send_fails;
};

void fake_transport_init(struct fake_transport *t, struct trace *trace);
const char *fake_link_name(enum kt_link link);

#endif
