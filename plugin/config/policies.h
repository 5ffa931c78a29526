/*
 * policies - what holds for the devices of each group: how old keys may get, when they are rotated,
 * what a sign of trouble is answered with.
 *
 * Owns the policy file: sections, inheritance, and every value's form. What stands in no file is
 * what keyturn.conf says. docs/keyturn-plugin.5, "Policy file". Pure but for the one read.
 */
#ifndef KT_POLICIES_H
#define KT_POLICIES_H

#include "config.h"
#include "err.h"
#include "ticket.h"
#include "types.h"

enum { KT_POLICIES_MAX = 64, KT_DAY_MINUTES = 1440 };

struct kt_group_policy {
	char group[KT_GROUP_MAX + 1]; /* "": of all that have no section of their own */
	int64_t max_key_age_ms;	      /* 0 = none; older: rotate-only session */
	unsigned rotate_at;   /* per cent of max_key_age: the latest moment of a rotation's order */
	unsigned jitter;      /* per cent of it: orders are spread over so much before that */
	unsigned quiet_from;  /* minutes of the day, UTC: no order of ours from then ... */
	unsigned quiet_until; /* ... until then; the same: there are no quiet hours */
	int64_t challenge_every_ms; /* 0 = on demand alone */
	enum kt_policy challenge_silence;
	enum kt_policy clone_second_key;
	enum kt_policy clone_contended;
	enum kt_policy clone_old_answer;
	enum kt_policy clone_op_range;
};

struct kt_policies {		       /* one value, without pointers */
	unsigned rotations_per_minute; /* of the fleet, ordered by ourselves; 0: no ceiling */
	size_t count;		       /* 0: there is no file */
	struct kt_group_policy groups[KT_POLICIES_MAX]; /* the first one is the default */
};

/*
 * Parses @path; what it does not say is as in @config. On error *why is "path:line: what is wrong":
 * KT_ERR_SYS, KT_ERR_INVALID, KT_ERR_UNKNOWN_FIELD, KT_ERR_EXISTS (an option or a group twice),
 * KT_ERR_RANGE, KT_ERR_INSECURE, KT_ERR_NOMEM; *out is zeroed.
 */
KT_MUST_CHECK enum kt_err kt_policies_load(const char *path, const struct kt_config *config,
					   struct kt_policies *out, char why[static 512]);
/* The same for a text at hand; @name stands for the path in *why. */
KT_MUST_CHECK enum kt_err kt_policies_parse(const char *name, struct kt_bytes text,
					    const struct kt_config *config, struct kt_policies *out,
					    char why[static 512]);
/* What holds for the devices of @group. @policies may be NULL: as if there were no file. */
struct kt_group_policy kt_policies_for(const struct kt_policies *policies,
				       const struct kt_config *config, const char *group);

/* Do both say the same? */
bool kt_policies_are_same(const struct kt_policies *a, const struct kt_policies *b);

/* The option table, for the man page's test: index 0, 1, ... until false. */
bool kt_policies_option(size_t index, const char **name, const char **help);

#endif
