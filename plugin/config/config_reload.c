#include "config_reload.h"

#include <string.h>

enum { NAMES_MAX = 700 }; /* fits a line of the log beside the event's name */

/* What SIGHUP brings in force; all else waits for a restart. */
static bool is_taken_over(const char *name)
{
	static const char *const names[] = {"acl", "device_acl", "other_acl"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i]) == 0) {
			return true;
		}
	}
	return false;
}

/* "workers,wakeup"; false: nothing differs. */
static bool names_of_rest(const struct kt_config *running, const struct kt_config *fresh,
			  char out[static NAMES_MAX])
{
	const char *name = NULL;
	const char *help = NULL;
	size_t len = 0;

	for (size_t i = 0; kt_config_option(i, &name, &help); i++) {
		size_t name_len = strlen(name);
		if (is_taken_over(name) || kt_config_is_same(running, fresh, i) ||
		    len + name_len + 2 > NAMES_MAX) {
			continue;
		}
		if (len > 0) {
			out[len++] = ',';
		}
		memcpy(out + len, name, name_len);
		len += name_len;
	}
	out[len] = '\0';
	return len > 0;
}

void kt_config_tell_refused(struct kt_log *log, enum kt_err err, const char *why)
{
	const struct kt_field fields[] = {
		{"err", kt_err_name(err)},
		{"in_force", "as before"},
		{"why", why},
	};

	(void)kt_log_event(log, KT_EVENT_CONFIG_REFUSED, fields,
			   sizeof(fields) / sizeof(fields[0]));
}

static void tell_rest(struct kt_log *log, const struct kt_config *running,
		      const struct kt_config *fresh)
{
	char names[NAMES_MAX];
	const struct kt_field fields[] = {
		{"options", names},
		{"why", "they differ from what is in force: restart the broker for them"},
	};

	if (names_of_rest(running, fresh, names)) {
		(void)kt_log_event(log, KT_EVENT_CONFIG_WARNED, fields,
				   sizeof(fields) / sizeof(fields[0]));
	}
}

enum kt_err kt_config_reload(const char *path, const struct kt_config *running, struct kt_log *log,
			     struct kt_site_acl *out)
{
	struct kt_config *fresh = NULL;
	char why[KT_OPTION_WHY_MAX];

	memset(out, 0, sizeof(*out));
	enum kt_err err = kt_config_load(path, &fresh, why);
	if (err != KT_ERR_OK) {
		kt_config_tell_refused(log, err, why);
		return err;
	}
	*out = fresh->acl;
	tell_rest(log, running, fresh);
	kt_config_free(fresh);
	return KT_ERR_OK;
}
