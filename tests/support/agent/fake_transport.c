#include "fake_transport.h"

#include <stdio.h>
#include <string.h>

const char *fake_link_name(enum kt_link link)
{
	static const char *const names[KT_LINK_COUNT] = {"agent", "trial", "claim"};

	return names[link];
}

static enum kt_err open_link(void *ctx, enum kt_link link, const struct kt_link_request *request,
			     const char *cmd_topic)
{
	struct fake_transport *t = ctx;
	bool is_claim = link == KT_LINK_CLAIM;

	if (t->open_fails)
		return KT_ERR_SYS;
	(void)snprintf(t->topic[link], sizeof(t->topic[link]), "%s", cmd_topic);
	t->time_s[link] = request->time_s;
	/* a claimant's id is random */
	trace_add(t->trace, "open %s %.*s %s", fake_link_name(link), is_claim ? 6 : 80,
		  request->client_id, request->identity_pem != NULL ? request->identity_pem : "-");
	return KT_ERR_OK;
}

static enum kt_err send_text(void *ctx, enum kt_link link, const char *text, size_t len)
{
	struct fake_transport *t = ctx;

	if (t->send_fails)
		return KT_ERR_CLOSED;
	trace_add(t->trace, "send %s %.*s", fake_link_name(link), (int)len, text);
	return KT_ERR_OK;
}

static void close_link(void *ctx, enum kt_link link)
{
	struct fake_transport *t = ctx;

	trace_add(t->trace, "close %s", fake_link_name(link));
}

void fake_transport_init(struct fake_transport *t, struct trace *trace)
{
	memset(t, 0, sizeof(*t));
	t->trace = trace;
	t->table = (struct kt_transport){
		.ctx = t, .open = open_link, .send = send_text, .close = close_link};
}
