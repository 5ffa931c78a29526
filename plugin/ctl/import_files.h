/*
 * import_files - certificates out of files and directories, each with the device it is for.
 *
 * Owns what can be told without the plugin: which files hold certificates, what the device ids are,
 * what is a CA's, what comes twice. PEM (any number in a file) or DER. One thread.
 */
#ifndef KT_CTL_IMPORT_FILES_H
#define KT_CTL_IMPORT_FILES_H

#include "err.h"
#include "reason.h"
#include "types.h"

enum kt_id_source { KT_ID_FROM_CN, KT_ID_FROM_FILENAME, KT_ID_FROM_SAN };

enum { KT_FOUND_DETAIL_MAX = 160 };

struct kt_found {
	char *file;	 /* owned */
	bool is_skipped; /* nothing to take over, and no mistake: a CA's, a file without one */
	enum kt_reason reason; /* why it is not sent; NONE: it is, or its file cannot be read */
	char detail[KT_FOUND_DETAIL_MAX];
	struct kt_device_id device;
	uint8_t *der; /* owned; NULL unless it is to be sent */
	size_t der_len;
};

struct kt_found_list {
	struct kt_found *at; /* owned */
	size_t count;
	size_t cap;
};

/*
 * Appends what is in @path, a file, or a directory with files named *.pem, *.crt, *.cer and *.der
 * (not below it). Each certificate and each file without one is an entry. KT_ERR_NOMEM.
 */
KT_MUST_CHECK enum kt_err kt_found_add(struct kt_found_list *list, const char *path,
				       enum kt_id_source source);
/* Of two for one device (ignoring case) the second one is not sent. */
void kt_found_mark_twins(struct kt_found_list *list);
void kt_found_clear(struct kt_found_list *list);

#endif
