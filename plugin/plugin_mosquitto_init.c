/*
 * plugin_mosquitto_init - the three functions that the broker looks for, and the start between
 * them.
 */
#include "plugin_mosquitto.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KT_EXPORT __attribute__((visibility("default")))

enum { CMDLINE_MAX = 65536 };

/*
 * The one static: two plugin lines in one configuration load one image, and a second instance over
 * the same registry must be refused. Nothing else survives a call.
 */
static bool is_loaded;

/* The path of the one option there is; NULL and a sentence in *why otherwise. */
static const char *config_option(const struct mosquitto_opt *options, int count, const char **why)
{
	const char *path = NULL;

	for (int i = 0; i < count; i++) {
		if (strcmp(options[i].key, "config") != 0) {
			*why = "an unknown plugin_opt_ line: only plugin_opt_config is known, all "
			       "else belongs into the file that it names";
			return NULL;
		}
		if (path != NULL) {
			*why = "plugin_opt_config is given twice";
			return NULL;
		}
		path = options[i].value;
	}
	if (path == NULL || path[0] == '\0') {
		*why = "plugin_opt_config is missing: add it below the plugin line, with the path "
		       "of Keyturn's own file";
		return NULL;
	}
	return path;
}

static size_t read_cmdline(uint8_t *out, size_t size)
{
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = 0;

	if (fd < 0)
		return 0;
	while (len < size) {
		n = read(fd, out + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	(void)close(fd);
	return n < 0 ? 0 : len;
}

static enum kt_err load(struct kt_plugin *plugin, const char *config_path, char why[static 512])
{
	enum kt_err err = KT_ERR_NOMEM;
	struct kt_now now = kt_plugin_now(plugin);
	struct kt_setup_request request = {
		.config_path = config_path,
		.now_us = now.wall_us,
		.log = &plugin->log,
	};
	struct kt_core_setup core_setup;
	struct kt_store_status status;
	uint8_t *cmdline = NULL;
	Dl_info self;

	cmdline = malloc(CMDLINE_MAX);
	if (cmdline == NULL)
		goto out;
	request.cmdline.p = cmdline;
	request.cmdline.len = read_cmdline(cmdline, CMDLINE_MAX);
	if (dladdr(&is_loaded, &self) != 0)
		request.plugin_path = self.dli_fname;
	err = kt_setup_new(&request, &plugin->setup, why);
	if (err != KT_ERR_OK)
		goto out;
	kt_store_poll(plugin->setup->store, &status);
	plugin->durable_seq = status.durable_seq;
	plugin->ports.broker = &plugin->broker;
	plugin->ports.journal = kt_store_journal(plugin->setup->store);
	plugin->ports.jobs = kt_worker_pool_jobs(plugin->setup->pool);
	plugin->ports.entropy = &plugin->setup->entropy;
	plugin->ports.log = &plugin->log;
	memset(&core_setup, 0, sizeof(core_setup));
	core_setup.config = plugin->setup->config;
	core_setup.policies = &plugin->setup->policies;
	core_setup.ports = &plugin->ports;
	core_setup.registry = plugin->setup->registry;
	core_setup.durable_seq = status.durable_seq;
	core_setup.issuer_cert_der = plugin->setup->issuer_cert_der;
	core_setup.last_crl = plugin->setup->last_crl;
	memcpy(core_setup.root_sha256, plugin->setup->root_sha256, sizeof(core_setup.root_sha256));
	err = kt_core_new(&core_setup, now, &plugin->core);
out:
	free(cmdline);
	return err;
}

static int refuse(struct kt_plugin *plugin, enum kt_err err, const char *why)
{
	const struct kt_field fields[] = {{"err", kt_err_name(err)}, {"why", why}};

	kt_log_event(&plugin->log, KT_EVENT_PLUGIN_REFUSED, fields, 2);
	kt_plugin_free(plugin);
	return MOSQ_ERR_UNKNOWN; /* any error: the broker stops */
}

static void tell_started(struct kt_plugin *plugin)
{
	const struct kt_field fields[] = {
		{"version", KT_VERSION},
		{"broker", plugin->is_2_1 ? "2.1" : "2.0"},
		{"trust_domain", plugin->setup->config->trust_domain},
		{"wakeup", plugin->setup->waker != NULL ? "on" : "off"},
	};

	kt_log_event(&plugin->log, KT_EVENT_PLUGIN_STARTED, fields,
		     sizeof(fields) / sizeof(fields[0]));
}

KT_EXPORT int mosquitto_plugin_version(int supported_version_count, const int *supported_versions)
{
	for (int i = 0; i < supported_version_count; i++) {
		if (supported_versions[i] == 5)
			return 5;
	}
	return -1;
}

KT_EXPORT int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata,
				    struct mosquitto_opt *options, int option_count)
{
	struct kt_plugin *plugin = kt_plugin_new(identifier);
	char why[512] = "out of memory";
	const char *option_why = why;
	const char *path;
	enum kt_err err;

	*userdata = NULL;
	if (plugin == NULL) {
		mosquitto_log_printf(MOSQ_LOG_ERR, "%s",
				     "event=plugin.refused err=nomem why=\"out of memory\"");
		return MOSQ_ERR_NOMEM;
	}
	if (is_loaded)
		return refuse(plugin, KT_ERR_EXISTS,
			      "the plugin is loaded twice: one plugin line, and "
			      "per_listener_settings false");
	path = config_option(options, option_count, &option_why);
	if (path == NULL)
		return refuse(plugin, KT_ERR_INVALID, option_why);
	err = load(plugin, path, why);
	if (err != KT_ERR_OK)
		return refuse(plugin, err, why[0] != '\0' ? why : kt_err_text(err));
	if (!kt_plugin_register(plugin))
		return refuse(plugin, KT_ERR_EXISTS,
			      "the broker does not let us register: does another plugin "
			      "own " KT_TOPIC_CONTROL "?");
	if (mosquitto_plugin_set_info != NULL)
		(void)mosquitto_plugin_set_info(identifier, "keyturn", KT_VERSION);
	tell_started(plugin);
	is_loaded = true;
	*userdata = plugin;
	return MOSQ_ERR_SUCCESS;
}

KT_EXPORT int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options,
				       int option_count)
{
	struct kt_plugin *plugin = userdata;

	(void)options;
	(void)option_count;
	if (plugin == NULL)
		return MOSQ_ERR_SUCCESS; /* a start that was refused */
	kt_plugin_unregister(plugin);
	kt_log_event(&plugin->log, KT_EVENT_PLUGIN_STOPPED, NULL, 0);
	kt_plugin_free(plugin);
	is_loaded = false;
	return MOSQ_ERR_SUCCESS;
}
