/*
 * What an operator sends, on a plugin that runs: the first byte chooses who speaks, the rest is the
 * text. One answer at the most, and who may only look changes nothing.
 */
#include "core_world.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { VARIANTS = 2, CERT_ROOT = 0, CERT_VIEWER = 1, CERT_STRANGER = 7 };

static void keep_up(struct core_world *w)
{
	struct kt_job *job;

	core_world_durable(w, WORLD_RECORDS);
	while ((job = core_world_take_job(w, 0)) != NULL)
		core_world_do_job(w, job, false);
	core_world_durable(w, WORLD_RECORDS);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const struct {
		unsigned cert;
		const char *client_id;
	} who[] = {
		{CERT_ROOT, "op:root"}, {CERT_VIEWER, "op:vera"}, {CERT_STRANGER, "hub-1:agent"}};
	struct fuzz_input in = {bytes, len};
	const unsigned first = fuzz_u8(&in);
	struct core_world *w = core_world_new(first / 3 % VARIANTS);
	const unsigned speaker = first % 3;
	size_t records;

	if (w->certs[CERT_STRANGER].is_device == false)
		abort();
	(void)core_world_connect(w, 0, who[speaker].cert, who[speaker].client_id, NULL);
	FUZZ_REQUIRE(w->conns[0].is_used);
	records = w->record_count;
	core_world_control(w, 0, fuzz_take(&in, in.left));
	keep_up(w);
	FUZZ_REQUIRE(w->replies == (speaker == 2 ? 0 : 1));
	FUZZ_REQUIRE(speaker == 0 || w->record_count == records);
	core_world_tick(w, 100);
	keep_up(w);
	core_world_tick(w, 1000);
	core_world_free(w);
	return 0;
}
