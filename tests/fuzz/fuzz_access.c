/*
 * Strangers at the door: certificate, client id, user name and topic as bytes, on a plugin that
 * runs. Two bytes choose circumstances and certificate; three texts follow, each with its length in
 * front.
 */
#include <stdio.h>
#include <string.h>

#include "core_world.h"
#include "fuzz_input.h"
#include "topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { TEXT_MAX = 256 };

static void take_text(struct fuzz_input *in, char out[static TEXT_MAX])
{
	const struct kt_bytes text = fuzz_take(in, fuzz_u8(in));

	memcpy(out, text.p, text.len);
	out[text.len] = '\0';
}

/* Names and topics are the same whoever looks at them. */
static void check_shapes(const char *id, const char *topic)
{
	struct kt_client_name name;
	const char *rest = NULL;

	kt_client_name_decode(id, &name);
	FUZZ_REQUIRE(name.device.s[0] == '\0' ||
		     kt_is_device_id(name.device.s, strlen(name.device.s)));
	FUZZ_REQUIRE(kt_filter_touches_keyturn(topic) || strncmp(topic, "keyturn/", 8) != 0);
	if (kt_uri_decode(topic, FLEET_TD, &rest) == KT_URI_OTHER)
		FUZZ_REQUIRE(rest[0] == '\0');
	else
		FUZZ_REQUIRE(kt_uri_is_ours(topic, FLEET_TD) && rest[0] != '\0');
	(void)kt_filter_matches(topic, id);
	(void)kt_ticket_pattern_matches(topic, id);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct fuzz_input in = {bytes, len};
	struct core_world *w = core_world_new(fuzz_u8(&in));
	const unsigned cert = fuzz_u8(&in);
	char id[TEXT_MAX];
	char username[TEXT_MAX];
	char topic[TEXT_MAX];

	take_text(&in, id);
	take_text(&in, username);
	take_text(&in, topic);
	check_shapes(id, topic);
	if (strlen(id) < KT_CLIENT_ID_MAX)
		(void)core_world_connect(w, 0,
					 cert % (w->cert_count + 1) == w->cert_count
						 ? WORLD_CERTS
						 : cert % (w->cert_count + 1),
					 id, username[0] == '\0' ? NULL : username);
	for (unsigned action = 0; action < 4; action++)
		(void)core_world_acl(w, 0, (enum kt_acl_action)action, topic);
	core_world_tick(w, 100);
	core_world_free(w);
	return 0;
}
