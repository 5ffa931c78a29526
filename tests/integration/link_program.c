#include "link_program.h"

#include <stdio.h>
#include <time.h>

static size_t read_file(const char *path, uint8_t *out, size_t cap)
{
	FILE *file = fopen(path, "rb");
	size_t len = 0;

	if (file != NULL) {
		len = fread(out, 1, cap, file);
		(void)fclose(file);
	}
	return len;
}

struct kt_paho *link_program_begin(const char *port, const char *root_pem, const char *root_der)
{
	static uint8_t root[4096];
	static struct kt_paho_config config;
	struct kt_trust trust = {.trust_domain = "storm.example", .system_s = (int64_t)time(NULL)};
	struct kt_paho *paho = NULL;

	(void)snprintf(config.broker.host, sizeof(config.broker.host), "localhost");
	(void)snprintf(config.broker.port, sizeof(config.broker.port), "%s", port);
	config.root_pem = root_pem;
	config.min_tls = KT_TLS_1_3;
	config.connect_timeout_s = 20;
	config.keep_alive_s = 60;
	trust.root_der = (struct kt_bytes){root, read_file(root_der, root, sizeof(root))};
	if (kt_paho_new(&config, &paho) != KT_ERR_OK)
		return NULL;
	kt_paho_trust(paho, &trust);
	return paho;
}

bool link_program_open(struct kt_paho *paho, enum kt_link link, const char *client_id,
		       const char *topic)
{
	const struct kt_transport *port = kt_paho_transport(paho);
	const struct kt_link_request request = {.client_id = client_id,
						.time_s = (int64_t)time(NULL)};

	return port->open(port->ctx, link, &request, topic) == KT_ERR_OK;
}

int64_t link_program_now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
