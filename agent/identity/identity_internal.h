/*
 * identity_internal - what the two halves of the identity store share. For identity_*.c only.
 *
 * identity_store.c: the operations; identity_adopt.c: the one that begins with files from outside.
 * identity_recover.c: open, which is recovery every time; identity_credentials.c: of what the
 * record names, what is still there. identity_peek.c: a look from outside.
 */
#ifndef KT_IDENTITY_INTERNAL_H
#define KT_IDENTITY_INTERNAL_H

#include "agent_record.h"
#include "identity_store.h"

enum { KT_IDENTITY_PATH = 4096, KT_IDENTITY_PEM_MAX = 65536, KT_IDENTITY_WHY = 512 };

enum kt_copy_state {
	KT_COPY_ABSENT,
	KT_COPY_GOOD,	   /* whole on disk: may be rewritten in place */
	KT_COPY_DOUBTFUL,  /* damaged, or a write to it failed: only a new file will do */
	KT_COPY_UNREADABLE /* the medium does not give it back; as DOUBTFUL */
};

struct kt_identity_store {
	struct kt_identity_config config;
	char state_dir[KT_IDENTITY_PATH];
	struct kt_agent_record record;
	unsigned newest; /* which copy holds @record */
	enum kt_copy_state copy[2];
	bool in_doubt; /* a save failed: the other copy may hold what @record does not say */
	bool is_alone; /* at the start: the other copy was lost, and may have been the newer one */
	int lock_fd;
};

struct kt_identity_path {
	char s[KT_IDENTITY_PATH];
};

/* <state_dir>/@name. KT_ERR_TOO_LONG. */
enum kt_err kt_identity_path(const struct kt_identity_store *store, const char *name,
			     struct kt_identity_path *out);
/* <state_dir>/identity/<dir><suffix>. KT_ERR_TOO_LONG. */
enum kt_err kt_identity_dir(const struct kt_identity_store *store, uint64_t dir, const char *suffix,
			    struct kt_identity_path *out);
struct kt_file_mode kt_identity_key_mode(const struct kt_identity_store *store);
struct kt_file_mode kt_identity_dir_mode(const struct kt_identity_store *store);
/* The record's two files. */
extern const char *const kt_identity_copies[2];
/* Names of the files in identity/<dir>/ that hold private bytes; NULL-terminated. */
extern const char *const kt_identity_private[];
bool kt_identity_names(const struct kt_agent_record *record, uint64_t dir);

/* cert.pem, chain.pem and identity.pem into @dir, which holds the key. */
enum kt_err kt_identity_write_cert(struct kt_identity_store *store, const char *dir,
				   const struct kt_chain *chain);

/* A key or certificate is missing or damaged for good; what else fails says nothing about it. */
bool kt_identity_is_gone(enum kt_err err);
/* A sentence for the operator; errno stays. */
void kt_identity_say(char why[static KT_IDENTITY_WHY], const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* "cannot @what @path: ...", of errno where @err is KT_ERR_SYS. */
void kt_identity_say_err(char why[static KT_IDENTITY_WHY], const char *what, const char *path,
			 enum kt_err err);

/*
 * A damaged credential is no reason to stay away while there is another one. Where the pending
 * certificate is lost but its key is not, the phase goes back to KEY: the server gives the same
 * certificate again. What only could not be read this time is left as it is.
 */
enum kt_err kt_identity_check_credentials(struct kt_identity_store *store,
					  char why[static KT_IDENTITY_WHY]);

#endif
