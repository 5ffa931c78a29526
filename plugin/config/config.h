/*
 * config - the plugin's own file (plugin_opt_config PATH): key = value, one line each.
 *
 * Owns the option table (name, setter, default, one line of help); unknown, repeated or malformed
 * options are errors with file:line. Reads only the file itself; paths are checked where they are
 * used. What a reload may change is one value, struct kt_site_acl; config_reload.h takes it out of
 * a new reading. Pure but for the one read.
 */
#ifndef KT_CONFIG_H
#define KT_CONFIG_H

#include "err.h"
#include "option_file.h"
#include "role.h"
#include "types.h"

enum kt_operator_kind { KT_OPERATOR_CERT, KT_OPERATOR_UNIX, KT_OPERATOR_USER };

struct kt_operator {
	enum kt_operator_kind kind;
	char name[KT_URI_MAX + 1]; /* SPIFFE URI, socket path or user name */
	struct kt_fingerprint fp;  /* CERT only */
	enum kt_role role;
};

enum kt_fallback { KT_FALLBACK_DENY, KT_FALLBACK_DEFER, KT_FALLBACK_ALLOW };
/* What a sign of trouble with a device is answered with, beside the event that tells of it. */
enum kt_policy { KT_POLICY_REPORT, KT_POLICY_QUARANTINE, KT_POLICY_DISCONNECT };
enum kt_enforce { KT_ENFORCE_ON, KT_ENFORCE_OBSERVE };
enum kt_wakeup { KT_WAKEUP_AUTO, KT_WAKEUP_ON, KT_WAKEUP_OFF };

enum {
	KT_OPERATORS_MAX = 64,
	KT_ACL_RULES_MAX = 64,
	KT_ACL_EXPANDED_MAX = 511 /* characters of a pattern, whatever device it is filled in for */
};

enum kt_acl_access { KT_ACL_READ = 1, KT_ACL_WRITE = 2, KT_ACL_READWRITE = 3, KT_ACL_DENY = 4 };
struct kt_acl_rule { /* first match wins; %d device id, %g group */
	enum kt_acl_access access;
	char pattern[256];
};

struct kt_site_acl { /* the site's topics: what SIGHUP reads again, one value without pointers */
	struct kt_acl_rule rules[KT_ACL_RULES_MAX];
	size_t rule_count;
	enum kt_fallback device; /* device_acl: DENY (default) or DEFER */
	enum kt_fallback other;	 /* other_acl: DEFER (default) or ALLOW */
};

struct kt_config {
	char trust_domain[KT_TRUST_DOMAIN_MAX + 1];
	char state_dir[KT_PATH_MAX];
	char ledger_dir[KT_PATH_MAX];
	bool ledger_same_dir;	     /* ledger_same_dir = accept */
	char root_cert[KT_PATH_MAX]; /* PEM */
	char issuer_cert[KT_PATH_MAX];
	char issuer_key[KT_PATH_MAX];
	char controller_cert[KT_PATH_MAX];
	char controller_key[KT_PATH_MAX];
	char mosquitto_conf[KT_PATH_MAX]; /* "" = the one of the broker's -c */
	char policy_file[KT_PATH_MAX];	  /* "" = none */
	char broker_address[264]; /* host:port, goes into tickets; "" = tickets need it given */
	struct kt_operator operators[KT_OPERATORS_MAX];
	size_t operator_count;
	struct kt_site_acl acl;		/* of this reading; which one is in force, the core knows */
	enum kt_fallback foreign_cert;	/* DENY (default, "refuse") or DEFER */
	enum kt_enforce enforce;	/* ON (default) or OBSERVE */
	bool observe_common_name;	/* observe_username = cn; keep (default) */
	bool claim_without_certificate; /* accept (default) or refuse */
	enum kt_wakeup wakeup;
	unsigned workers;		 /* 1-16, default 1 */
	int64_t hello_timeout_ms;	 /* 30 s */
	int64_t claim_idle_ms;		 /* 60 s */
	int64_t superseded_drain_ms;	 /* 30 s, 0-300 s */
	int64_t challenge_timeout_ms;	 /* 60 s */
	int64_t promote_overdue_ms;	 /* 10 min */
	int64_t op_deadline_ms;		 /* 24 h: OPEN without a CSR */
	int64_t pending_give_up_ms;	 /* 7 d: ISSUED by a rotation without a confirm */
	int64_t max_key_age_ms;		 /* 0 = none; older: rotate-only session */
	int64_t certificate_lifetime_ms; /* 0 = without end */
	char metrics_file[KT_PATH_MAX];	 /* "" = none */
	char crl_file[KT_PATH_MAX];	 /* "" = no revocation list */
	int64_t crl_validity_ms;	 /* 7 d, at least 10 min: nextUpdate */
	int64_t head_every_ms;		 /* 1 h; 0 = the ledger's heads are not signed */
	int64_t enroll_retry_s;		 /* 30: told to a waiting claimant */
	unsigned enroll_rate;		 /* 100 a second, all claimants together */
	unsigned message_rate;		 /* 5 a second, of session and device */
	unsigned message_burst;		 /* 10 */

	/* REPORT is the default of all; QUARANTINE; the last one DISCONNECT, too */
	enum kt_policy clone_second_key;
	enum kt_policy clone_contended;
	enum kt_policy clone_old_answer;
	enum kt_policy clone_op_range;
	enum kt_policy challenge_silence;
	int64_t challenge_every_ms; /* 0 = on demand alone */
};

/*
 * Parses @path. On error *why is "path:line: what is wrong (what to do)". KT_ERR_SYS,
 * KT_ERR_INVALID, KT_ERR_UNKNOWN_FIELD, KT_ERR_MISSING_FIELD, KT_ERR_EXISTS (given twice),
 * KT_ERR_RANGE, KT_ERR_INSECURE (the file is writable by others), KT_ERR_NOMEM.
 * *out is heap; kt_config_free.
 */
KT_MUST_CHECK enum kt_err kt_config_load(const char *path, struct kt_config **out,
					 char why[static 512]);
void kt_config_free(struct kt_config *config);
/* The same for a text at hand; @name stands for the path in *why. No KT_ERR_SYS, no
 * KT_ERR_INSECURE.
 */
KT_MUST_CHECK enum kt_err kt_config_parse(const char *name, struct kt_bytes text,
					  struct kt_config **out, char why[static 512]);

/* The option table, for the man page's test: index 0, 1, ... until false. */
bool kt_config_option(size_t index, const char **name, const char **help);
/* Do both say the same of the option @index of the table? Both come from kt_config_load or _parse.
 */
bool kt_config_is_same(const struct kt_config *a, const struct kt_config *b, size_t index);

#endif
