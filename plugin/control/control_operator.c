#include "control_internal.h"

#include <string.h>

#include "topic.h"

void kt_command_add_operator(struct kt_control *c)
{
	struct kt_new_operator new_operator = {.role = KT_ROLE_NONE};
	if (!kt_field_operator(c->item, &new_operator.name, &c->refusal) ||
	    !kt_field_fingerprint(c->item, &new_operator.fp, &c->refusal)) {
		return;
	}
	new_operator.role = kt_role_from_name(kt_json_string(c->item, "role"));
	if (new_operator.role == KT_ROLE_NONE) {
		(void)kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "role",
				"is none of viewer, rotator, enroller, revoker, admin");
		return;
	}
	(void)kt_control_outcome(
		c, kt_operator_add(c->core, &new_operator, c->actor, kt_control_note(c)));
}

void kt_command_remove_operator(struct kt_control *c)
{
	struct kt_device_id name;
	if (!kt_field_operator(c->item, &name, &c->refusal)) {
		return;
	}
	struct kt_outcome outcome =
		kt_operator_remove(c->core, name.s, c->session, kt_control_note(c));
	if (outcome.reason == KT_REASON_STATE) {
		(void)kt_refuse(&c->refusal, KT_REASON_STATE, "name",
				"stands in keyturn.conf: take its line out there and restart the "
				"broker");
		return;
	}
	(void)kt_control_outcome(c, outcome);
}

/* --- listOperators: those of the configuration, then those of the ledger --- */

static const char *kind_name(enum kt_operator_kind kind)
{
	switch (kind) {
	case KT_OPERATOR_CERT:
		return "certificate";
	case KT_OPERATOR_UNIX:
		return "socket";
	case KT_OPERATOR_USER:
		return "user";
	}
	return "?";
}

static void put_configured(struct kt_control *c, const struct kt_operator *configured)
{
	struct kt_json_writer *w = c->writer;
	const char *name = configured->name;
	bool has_cert = configured->kind == KT_OPERATOR_CERT;
	if (has_cert) {
		(void)kt_uri_decode(configured->name, c->core->config->trust_domain, &name);
	}
	kt_json_open_object(w, NULL);
	kt_json_put_string(w, "name", name);
	kt_json_put_string(w, "role", kt_role_name(configured->role));
	kt_json_put_string(w, "source", "config");
	kt_json_put_string(w, "kind", kind_name(configured->kind));
	if (has_cert) {
		kt_json_put_hex(w, "fp", configured->fp.b, sizeof(configured->fp.b));
	}
	kt_json_close_object(w);
}

static void put_entry(struct kt_control *c, const struct kt_operator_entry *entry)
{
	struct kt_json_writer *w = c->writer;
	kt_json_open_object(w, NULL);
	kt_json_put_string(w, "name", entry->name.s);
	kt_json_put_string(w, "role", kt_role_name(entry->role));
	kt_json_put_string(w, "source", "ledger");
	kt_json_put_string(w, "kind", kind_name(KT_OPERATOR_CERT));
	kt_json_put_hex(w, "fp", entry->fp.b, sizeof(entry->fp.b));
	kt_control_put_time(w, "since", entry->since_us);
	kt_json_put_string(w, "by", entry->by);
	kt_json_close_object(w);
}

void kt_command_list_operators(struct kt_control *c)
{
	const struct kt_config *config = c->core->config;
	const struct kt_operator_entry *entry = NULL;
	struct kt_control_page page;
	bool removed = kt_json_bool(c->item, "removed");
	size_t cursor = 0;
	int64_t total = 0;
	if (!kt_control_page(c, &page)) {
		return;
	}
	kt_json_open_array(kt_control_data(c), "operators");
	for (size_t i = 0; !removed && i < config->operator_count; i++, total++) {
		if (kt_control_is_on_page(&page, total)) {
			put_configured(c, &config->operators[i]);
		}
	}
	while ((entry = kt_registry_next_operator(c->core->registry, &cursor)) != NULL) {
		if (entry->is_removed != removed) {
			continue;
		}
		if (kt_control_is_on_page(&page, total)) {
			put_entry(c, entry);
		}
		total++;
	}
	kt_json_close_array(c->writer);
	kt_json_put_number(c->writer, "offset", page.offset);
	kt_json_put_number(c->writer, "total", total);
}
