/*
 * config_parser - what config.c (the table) and config_values.c (setters) share.
 *
 * Nothing else may include this. Any thread.
 */
#ifndef KT_CONFIG_PARSER_H
#define KT_CONFIG_PARSER_H

#include "config.h"

enum { KT_OPERATOR_NAME_MAX = 76 }; /* "op:" + name fits an actor */

struct kt_config_lines { /* for what only the whole file can tell */
	unsigned operator_line[KT_OPERATORS_MAX];
};

kt_option_setter kt_config_set_enroll_retry;
kt_option_setter kt_config_set_ledger_same_dir;
kt_option_setter kt_config_set_claim_without_certificate;
kt_option_setter kt_config_set_device_acl;
kt_option_setter kt_config_set_other_acl;
kt_option_setter kt_config_set_foreign_cert;
kt_option_setter kt_config_set_enforce;
kt_option_setter kt_config_set_observe_username;
kt_option_setter kt_config_set_wakeup;
kt_option_setter kt_config_set_clone_second_key;
kt_option_setter kt_config_set_clone_contended;
kt_option_setter kt_config_set_clone_old_answer;
kt_option_setter kt_config_set_clone_op_range;
kt_option_setter kt_config_set_challenge_silence;
kt_option_setter kt_config_add_operator;
kt_option_setter kt_config_add_acl;

#endif
