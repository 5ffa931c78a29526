#include "import_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "crypto.h"
#include "secmem.h"

enum { FILE_MAX = 4 * 1024 * 1024, CERTS_MAX = 1024, FIRST_CAP = 64 };

__attribute__((format(printf, 3, 4))) static void
refuse(struct kt_found *found, enum kt_reason reason, const char *format, ...)
{
	va_list args;

	found->reason = reason;
	va_start(args, format);
	(void)vsnprintf(found->detail, sizeof(found->detail), format, args);
	va_end(args);
}

static void skip(struct kt_found *found, const char *why)
{
	found->is_skipped = true;
	refuse(found, KT_REASON_NONE, "%s", why);
}

/* NULL: no memory. Valid until the next one. */
static struct kt_found *add(struct kt_found_list *list, const char *file)
{
	struct kt_found *found;

	if (list->count == list->cap) {
		const size_t cap = list->cap == 0 ? FIRST_CAP : 2 * list->cap;
		struct kt_found *at = realloc(list->at, cap * sizeof(*at));

		if (at == NULL)
			return NULL;
		list->at = at;
		list->cap = cap;
	}
	found = &list->at[list->count];
	memset(found, 0, sizeof(*found));
	found->file = strdup(file);
	/* analyzer-suppress -Wanalyzer-malloc-leak ; the list holds it */
	if (found->file == NULL)
		return NULL;
	list->count++;
	return found;
}

void kt_found_clear(struct kt_found_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->at[i].file);
		free(list->at[i].der);
	}
	free(list->at);
	memset(list, 0, sizeof(*list));
}

/* --- one certificate --- */

static bool id_of_filename(const char *file, struct kt_device_id *out)
{
	const char *slash = strrchr(file, '/');
	const char *name = slash != NULL ? slash + 1 : file;
	const char *dot = strrchr(name, '.');

	return kt_device_id_set(out, name, dot != NULL ? (size_t)(dot - name) : strlen(name));
}

static void find_id(struct kt_found *found, const struct kt_cert *cert, enum kt_id_source source)
{
	switch (source) {
	case KT_ID_FROM_CN:
		if (!kt_device_id_set(&found->device, cert->common_name, strlen(cert->common_name)))
			refuse(found, KT_REASON_JSON_FIELD,
			       "its common name '%s' is no device id (1 to 63 of A-Z a-z 0-9 . _ "
			       "-)",
			       cert->common_name);
		return;
	case KT_ID_FROM_FILENAME:
		if (!id_of_filename(found->file, &found->device))
			refuse(found, KT_REASON_JSON_FIELD,
			       "the file's name without its end is no device id");
		return;
	case KT_ID_FROM_SAN:
		if (!kt_device_id_set(&found->device, cert->dns_name, strlen(cert->dns_name)))
			refuse(found, KT_REASON_JSON_FIELD,
			       "it has not exactly one DNS name that is a device id");
		return;
	}
}

static enum kt_err add_certificate(struct kt_found_list *list, const char *file,
				   struct kt_bytes der, enum kt_id_source source)
{
	struct kt_found *found = add(list, file);
	struct kt_cert cert;

	if (found == NULL)
		return KT_ERR_NOMEM;
	if (kt_cert_decode(der.p, der.len, &cert) != KT_ERR_OK) {
		refuse(found, KT_REASON_CERT_SYNTAX, "the certificate cannot be read");
		return KT_ERR_OK;
	}
	if (cert.is_ca) {
		skip(found, "a CA's certificate");
		return KT_ERR_OK;
	}
	find_id(found, &cert, source);
	if (found->reason != KT_REASON_NONE)
		return KT_ERR_OK;
	found->der = malloc(der.len);
	if (found->der == NULL)
		return KT_ERR_NOMEM;
	memcpy(found->der, der.p, der.len);
	found->der_len = der.len;
	/* analyzer-suppress -Wanalyzer-malloc-leak ; the list holds what was found */
	return KT_ERR_OK;
}

/* --- files --- */

static enum kt_err add_refusal(struct kt_found_list *list, const char *file, enum kt_reason reason,
			       const char *why)
{
	struct kt_found *found = add(list, file);

	if (found == NULL)
		return KT_ERR_NOMEM;
	refuse(found, reason, "%s", why);
	return KT_ERR_OK;
}

static enum kt_err add_pem(struct kt_found_list *list, const char *file, struct kt_bytes text,
			   enum kt_id_source source)
{
	struct kt_bytes *certs = calloc(CERTS_MAX, sizeof(*certs));
	struct kt_found *found;
	uint8_t *storage = NULL;
	size_t count = 0;
	enum kt_err err = KT_ERR_NOMEM;

	if (certs == NULL)
		return err;
	err = kt_pem_certs(text.p, text.len, certs, CERTS_MAX, &count, &storage);
	for (size_t i = 0; err == KT_ERR_OK && i < count; i++)
		err = add_certificate(list, file, certs[i], source);
	if (err == KT_ERR_NOT_FOUND) {
		found = add(list, file);
		err = found != NULL ? KT_ERR_OK : KT_ERR_NOMEM;
		if (found != NULL)
			skip(found, "no certificate in it");
	} else if (err == KT_ERR_INVALID || err == KT_ERR_TOO_LONG) {
		err = add_refusal(list, file, KT_REASON_CERT_SYNTAX,
				  err == KT_ERR_INVALID
					  ? "its PEM is damaged"
					  : "more than 1024 certificates, or one over 4096 bytes");
	}
	free(storage);
	free(certs);
	return err;
}

/* Up to FILE_MAX bytes; *out is heap. A directory of a whole fleet may have been put into one file.
 */
static enum kt_err read_all(const char *path, uint8_t **out, size_t *out_len)
{
	FILE *file = fopen(path, "re");
	enum kt_err err = KT_ERR_SYS;

	*out = NULL;
	*out_len = 0;
	if (file == NULL)
		return err;
	*out = malloc(FILE_MAX + 1);
	if (*out == NULL) {
		err = KT_ERR_NOMEM;
		goto out;
	}
	*out_len = fread(*out, 1, FILE_MAX + 1, file);
	if (ferror(file) == 0)
		err = *out_len > FILE_MAX ? KT_ERR_TOO_LONG : KT_ERR_OK;
out:
	(void)fclose(file);
	return err;
}

static enum kt_err add_file(struct kt_found_list *list, const char *file, enum kt_id_source source)
{
	struct kt_bytes view;
	uint8_t *content = NULL; /* a private key may stand beside the certificate */
	char text[KT_FOUND_DETAIL_MAX] = "";
	enum kt_err err = read_all(file, &content, &view.len);

	view.p = content;
	if (err == KT_ERR_SYS || err == KT_ERR_TOO_LONG)
		err = add_refusal(list, file, KT_REASON_NONE, kt_err_cause(err, errno, text));
	else if (err == KT_ERR_OK && memmem(view.p, view.len, "-----BEGIN", 10) != NULL)
		err = add_pem(list, file, view, source);
	else if (err == KT_ERR_OK)
		err = add_certificate(list, file, view, source);
	if (content != NULL)
		kt_wipe(content, view.len);
	free(content);
	return err;
}

static int is_certificate_file(const struct dirent *entry)
{
	static const char *const ends[] = {".pem", ".crt", ".cer", ".der"};
	const char *dot = strrchr(entry->d_name, '.');

	for (size_t i = 0; dot != NULL && i < sizeof(ends) / sizeof(ends[0]); i++) {
		if (strcasecmp(dot, ends[i]) == 0)
			return 1;
	}
	return 0;
}

static enum kt_err add_dir(struct kt_found_list *list, const char *dir, enum kt_id_source source)
{
	struct dirent **entries = NULL;
	char text[KT_FOUND_DETAIL_MAX] = "";
	enum kt_err err = KT_ERR_OK;
	const int count = scandir(dir, &entries, is_certificate_file, alphasort);

	if (count < 0)
		return errno == ENOMEM ? KT_ERR_NOMEM
				       : add_refusal(list, dir, KT_REASON_NONE,
						     strerror_r(errno, text, sizeof(text)));
	for (int i = 0; i < count; i++) {
		char *path = NULL;

		if (err == KT_ERR_OK && asprintf(&path, "%s/%s", dir, entries[i]->d_name) < 0) {
			path = NULL; /* what it holds is not defined */
			err = KT_ERR_NOMEM;
		}
		if (path != NULL)
			err = add_file(list, path, source);
		free(path);
		free(entries[i]);
	}
	free(entries);
	return err;
}

enum kt_err kt_found_add(struct kt_found_list *list, const char *path, enum kt_id_source source)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return add_dir(list, path, source);
	return add_file(list, path, source);
}

/* --- twins --- */

static int compare_ids(const void *a, const void *b)
{
	const struct kt_found *const *left = a;
	const struct kt_found *const *right = b;
	const int order = strcasecmp((*left)->device.s, (*right)->device.s);

	if (order != 0)
		return order;
	return *left < *right ? -1 : 1;
}

void kt_found_mark_twins(struct kt_found_list *list)
{
	struct kt_found **sorted = calloc(list->count + 1, sizeof(struct kt_found *));
	const struct kt_found *first;

	if (sorted == NULL)
		return; /* the plugin refuses the second one, too */
	for (size_t i = 0; i < list->count; i++)
		sorted[i] = &list->at[i];
	qsort(sorted, list->count, sizeof(struct kt_found *), compare_ids);
	first = list->count > 0 ? sorted[0] : NULL;
	for (size_t i = 1; i < list->count; i++) {
		struct kt_found *next = sorted[i];

		if (next->der == NULL || strcasecmp(first->device.s, next->device.s) != 0) {
			first = next;
			continue;
		}
		free(next->der);
		next->der = NULL;
		refuse(next, KT_REASON_EXISTS, "%s is in %.80s, too", next->device.s, first->file);
	}
	free(sorted);
}
