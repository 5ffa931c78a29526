/*
 * audit - what a ledger proves: its chain, the signed heads that somebody kept, and what it says.
 *
 * For the audit commands alone. Reads files, asks no broker, changes nothing.
 */
#ifndef KT_CTL_AUDIT_H
#define KT_CTL_AUDIT_H

#include "ctl.h"
#include "ledger.h"

enum { KT_AUDIT_PATH_MAX = 4096 };

/* The file named on the command line, or of the directory there, or of this machine's broker; false
 * and a line on stderr. */
bool kt_audit_find(const struct kt_ctl *ctl, char out[static KT_AUDIT_PATH_MAX]);

struct kt_audit_fault { /* of a ledger that is not whole */
	const char *path;
	const struct kt_ledger_state *state;
	uint64_t bad_line;
};
enum kt_ctl_exit kt_audit_report_bad(const struct kt_ctl *ctl, enum kt_err err,
				     const struct kt_audit_fault *bad);

/* --- audit_select.c: which records --- */

struct kt_audit_filter {
	const char *device; /* NULL: any; borrowed */
	const char *actor;
	const char *kind;
	int64_t since_us; /* from then on */
	int64_t until_us; /* before that */
};

/* Do options and words make sense? KT_ERR_INVALID with a sentence in @why. */
KT_MUST_CHECK enum kt_err kt_audit_check(const struct kt_ctl_args *args,
					 char why[static KT_CTL_WHY_MAX]);
/* Of what kt_audit_check has passed. */
struct kt_audit_filter kt_audit_filter_of(const struct kt_ctl_args *args);
bool kt_audit_wants(const struct kt_audit_filter *filter, const struct kt_record *record);

/* --- audit_heads.c: what was signed --- */

enum kt_head_verdict { /* the worst one last */
		       KT_HEAD_HOLDS,
		       KT_HEAD_FOREIGN, /* of another trust domain */
		       KT_HEAD_FORGED,	/* not signed by a controller under the root, or no head */
		       KT_HEAD_TRUNCATED, /* its record is not there any more */
		       KT_HEAD_REWRITTEN  /* another record is in its place */
};
const char *kt_head_verdict_name(enum kt_head_verdict verdict);

struct kt_audit_heads; /* owned, opaque */
/* Reads --heads and the root; *out NULL where no head was given. A failure was said on stderr. */
enum kt_ctl_exit kt_audit_heads_load(const struct kt_ctl *ctl, struct kt_audit_heads **out);
void kt_audit_heads_free(struct kt_audit_heads *heads); /* NULL is fine */
/* The next record of the ledger. */
void kt_audit_heads_note(struct kt_audit_heads *heads, const struct kt_record *record,
			 const uint8_t hash[static 32]);
/* After the last record. @trust_domain: the ledger's. Says on stderr what does not hold. */
enum kt_head_verdict kt_audit_heads_judge(const struct kt_ctl *ctl, struct kt_audit_heads *heads,
					  const char *trust_domain,
					  const struct kt_ledger_state *state);
size_t kt_audit_heads_count(const struct kt_audit_heads *heads);
/* The newest that holds; seq 0: none. */
struct kt_head;
const struct kt_head *kt_audit_heads_newest(const struct kt_audit_heads *heads);

#endif
