/*
 * option_file - the configuration files of Keyturn: name = value, one line each, by a table.
 *
 * Owns lines, comments, the table walk (unknown, repeated, missing), the messages with file:line,
 * the common shapes of values (path, duration, number, word) and the one read with its checks of
 * owner and mode. Does not know any option. Any thread.
 */
#ifndef KT_OPTION_FILE_H
#define KT_OPTION_FILE_H

#include "err.h"
#include "types.h"

enum { KT_OPTION_WHY_MAX = 512, KT_OPTIONS_MAX = 64, KT_PATH_MAX = 1024 };

#define KT_SECOND_MS INT64_C(1000)
#define KT_MINUTE_MS (60 * KT_SECOND_MS)
#define KT_HOUR_MS   (60 * KT_MINUTE_MS)
#define KT_DAY_MS    (24 * KT_HOUR_MS)
#define KT_YEAR_MS   (365 * KT_DAY_MS)

struct kt_option;

struct kt_option_parser {
	void *target;	    /* the struct that the offsets of the table are of */
	void *ctx;	    /* what else the setters of a table share; may be NULL */
	const char *manual; /* the page that explains the options: "keyturn-plugin(5)" */
	const char *file;
	unsigned lines_before; /* of the file, before the text that is parsed */
	unsigned line;	       /* 0: the table's own defaults, or the file as a whole */
	char *why;	       /* KT_OPTION_WHY_MAX bytes */
	const struct kt_option *option;
};

/* Gets one trimmed, non-empty value, judges it and writes its member. */
typedef enum kt_err kt_option_setter(struct kt_option_parser *parser, const char *value);

struct kt_option {
	const char *name;
	kt_option_setter *set;
	size_t offset; /* of the member in the target */
	int64_t min;
	int64_t max;
	const char *preset; /* NULL: none */
	const char *help;
	bool is_required;
	bool is_list;
};

/*
 * Sets the presets, then what the lines say; at last every required option must be there.
 * KT_ERR_INVALID, KT_ERR_UNKNOWN_FIELD, KT_ERR_MISSING_FIELD, KT_ERR_EXISTS (given twice),
 * KT_ERR_RANGE, or what a setter returned; *why says it, with file:line.
 */
KT_MUST_CHECK enum kt_err kt_options_parse(struct kt_option_parser *parser,
					   const struct kt_option *table, size_t count,
					   struct kt_bytes text);
/*
 * Reads a configuration file: regular, ours or root's, writable by nobody else, at most 256 KiB.
 * KT_ERR_SYS, KT_ERR_INVALID, KT_ERR_INSECURE, KT_ERR_RANGE, KT_ERR_NOMEM, with a sentence in
 * *why. *text is malloc'ed.
 */
KT_MUST_CHECK enum kt_err kt_option_file_read(struct kt_option_parser *parser, char **text,
					      size_t *len);

/* Writes "file:line: ..." into why and hands @err on, so that a setter can end in it. */
enum kt_err kt_option_complain(struct kt_option_parser *parser, enum kt_err err, const char *format,
			       ...) __attribute__((format(printf, 3, 4)));
/* The member of the target that the option in hand stands for. */
void *kt_option_member(const struct kt_option_parser *parser);

struct kt_choice {
	const char *word; /* NULL: the end */
	int value;
};
/* KT_ERR_INVALID, with the option's help, if @value is none of them. */
KT_MUST_CHECK enum kt_err kt_option_choose(struct kt_option_parser *parser, const char *value,
					   const struct kt_choice *choices, int *out);
/*
 * Takes the next word off *rest. False: no further one, or it is longer than the buffer; then the
 * word is "".
 */
bool kt_option_next_word(const char **rest, char *out, size_t cap);
/* "30s", "10m", "24h", "7d" or "0", as milliseconds. */
bool kt_duration_decode(const char *text, int64_t *out_ms);

/* Setters for the common shapes. */
kt_option_setter kt_option_set_path;	     /* char[KT_PATH_MAX]: absolute, made comparable */
kt_option_setter kt_option_set_duration;     /* int64_t, milliseconds, min to max */
kt_option_setter kt_option_set_count;	     /* unsigned, min to max */
kt_option_setter kt_option_set_trust_domain; /* char[KT_TRUST_DOMAIN_MAX + 1] */
kt_option_setter kt_option_set_host_port;    /* char[264], host:port or [address]:port */

#endif
