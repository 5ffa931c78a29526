/*
 * config_parser - what config.c (lines, table) and config_values.c (setters) share.
 *
 * A setter gets one trimmed, non-empty value, judges it and writes its member. Nothing else may
 * include this. Any thread.
 */
#ifndef KT_CONFIG_PARSER_H
#define KT_CONFIG_PARSER_H

#include "config.h"

enum { KT_CONFIG_WHY_MAX = 512, KT_OPERATOR_NAME_MAX = 76 }; /* "op:" + name fits an actor */

#define KT_SECOND_MS INT64_C(1000)
#define KT_MINUTE_MS (60 * KT_SECOND_MS)
#define KT_HOUR_MS   (60 * KT_MINUTE_MS)
#define KT_DAY_MS    (24 * KT_HOUR_MS)
#define KT_YEAR_MS   (365 * KT_DAY_MS)

struct kt_config_option;

struct kt_config_parser {
	struct kt_config *config; /* owned by kt_config_parse */
	const char *file;
	unsigned line; /* 0: the table's own defaults, or the file as a whole */
	char *why;     /* KT_CONFIG_WHY_MAX bytes */
	const struct kt_config_option *option;
	/* an operator's URI can only be judged once the trust domain is known */
	unsigned operator_line[KT_OPERATORS_MAX];
};

typedef enum kt_err kt_config_setter(struct kt_config_parser *parser, const char *value);

struct kt_config_option {
	const char *name;
	kt_config_setter *set;
	size_t offset; /* of the member in struct kt_config */
	int64_t min;
	int64_t max;
	const char *preset; /* NULL: none */
	const char *help;
	bool is_required;
	bool is_list;
};

/* Writes "file:line: ..." into why and hands @err on, so that a setter can end in it. */
enum kt_err kt_config_complain(struct kt_config_parser *parser, enum kt_err err, const char *format,
			       ...) __attribute__((format(printf, 3, 4)));

kt_config_setter kt_config_set_trust_domain;
kt_config_setter kt_config_set_path;
kt_config_setter kt_config_set_duration;
kt_config_setter kt_config_set_enroll_retry;
kt_config_setter kt_config_set_count;
kt_config_setter kt_config_set_ledger_same_dir;
kt_config_setter kt_config_set_claim_without_certificate;
kt_config_setter kt_config_set_device_acl;
kt_config_setter kt_config_set_other_acl;
kt_config_setter kt_config_set_foreign_cert;
kt_config_setter kt_config_set_wakeup;
kt_config_setter kt_config_set_broker_address;
kt_config_setter kt_config_add_operator;
kt_config_setter kt_config_add_acl;

#endif
