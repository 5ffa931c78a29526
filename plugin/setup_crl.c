#include "setup_crl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "durable_file.h"

enum { WHY_MAX = 512 };
#define CRL_FILE_MAX ((off_t)KT_CRL_ENTRIES_MAX * 96) /* PEM; an entry has 72 bytes of it */

static enum kt_err __attribute__((format(printf, 3, 4)))
refuse(char why[static WHY_MAX], enum kt_err err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(why, WHY_MAX, format, args); /* a long path may be cut */
	va_end(args);
	return err;
}

static void __attribute__((format(printf, 2, 3))) warn(struct kt_log *log, const char *format, ...)
{
	char text[WHY_MAX];
	const struct kt_field field = {"why", text};
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)kt_log_event(log, KT_EVENT_CONFIG_WARNED, &field, 1);
}

static enum kt_err refuse_sys(char why[static WHY_MAX], const char *path)
{
	char buf[128];

	return refuse(why, KT_ERR_SYS,
		      "crl_file: %s cannot be read: %s; correct the path or its mode", path,
		      strerror_r(errno, buf, sizeof(buf)));
}

/* All of the open file; it does not grow meanwhile: only we write it, and by renaming. */
static enum kt_err read_open(const struct kt_fs *fs, int fd, const char *path, uint8_t **out,
			     size_t *out_len, char why[static WHY_MAX])
{
	uint8_t *text = NULL;
	struct stat st;
	size_t len = 0;
	ssize_t n = 0;

	if (fs->fstat(fs->ctx, fd, &st) != 0)
		return refuse_sys(why, path);
	if (!S_ISREG(st.st_mode) || st.st_size > CRL_FILE_MAX)
		return refuse(why, KT_ERR_EXISTS,
			      "crl_file: %s is no file of ours; correct the path, or remove it",
			      path);
	text = malloc((size_t)st.st_size + 1);
	if (text == NULL)
		return refuse(why, KT_ERR_NOMEM, "out of memory");
	while (len < (size_t)st.st_size) {
		n = fs->read(fs->ctx, fd, text + len, (size_t)st.st_size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (n < 0) {
		free(text);
		return refuse_sys(why, path);
	}
	*out = text;
	*out_len = len;
	return KT_ERR_OK;
}

/* *out NULL: there is no file. A FIFO must not hold the start up. */
static enum kt_err read_file(const char *path, uint8_t **out, size_t *out_len,
			     char why[static WHY_MAX])
{
	const struct kt_fs *fs = kt_fs_posix();
	int fd = fs->open(fs->ctx, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	enum kt_err err;

	*out = NULL;
	*out_len = 0;
	if (fd < 0)
		return errno == ENOENT ? KT_ERR_OK : refuse_sys(why, path);
	err = read_open(fs, fd, path, out, out_len, why);
	(void)fs->close(fs->ctx, fd);
	return err;
}

/* What is there is replaced. A list that we cannot read on from costs its number and no more. */
static enum kt_err judge(const struct kt_setup_request *request, struct kt_setup *setup,
			 struct kt_bytes text, char why[static WHY_MAX])
{
	const char *path = setup->config->crl_file;
	enum kt_err err;

	err = kt_crl_from_pem(text, setup->issuer_cert_der, &setup->last_crl);
	if (err == KT_ERR_OK && setup->last_crl.number == INT64_MAX)
		err = KT_ERR_RANGE;
	if (err == KT_ERR_OK || (err == KT_ERR_NOT_FOUND && text.len == 0))
		return KT_ERR_OK;
	if (err == KT_ERR_NOMEM)
		return refuse(why, err, "out of memory");
	if (err == KT_ERR_NOT_FOUND)
		return refuse(why, KT_ERR_EXISTS,
			      "crl_file: %s is no revocation list and would be lost; correct the "
			      "path, or move it away",
			      path);
	if (err == KT_ERR_RANGE)
		return refuse(
			why, err,
			"crl_file: %s has a number from which none of ours can go on: another "
			"program has issued lists of this CA; remove it if nobody uses them",
			path);
	warn(request->log,
	     "crl_file: %s is damaged or another CA's and is replaced; its number is not known",
	     path);
	return KT_ERR_OK;
}

enum kt_err kt_setup_crl(const struct kt_setup_request *request, struct kt_setup *setup,
			 const struct kt_cert *issuer, char why[static WHY_MAX])
{
	const struct kt_config *config = setup->config;
	uint8_t *text = NULL;
	size_t len = 0;
	enum kt_err err;

	if (config->crl_file[0] == '\0')
		return KT_ERR_OK;
	if (!issuer->may_sign_crls)
		return refuse(why, KT_ERR_VERIFY,
			      "crl_file: issuer_cert %s may not sign revocation lists (key usage "
			      "cRLSign); leave crl_file out, or make another issuing CA",
			      config->issuer_cert);
	if (config->certificate_lifetime_ms == 0)
		warn(request->log,
		     "crl_file with certificate_lifetime = 0: no entry ever leaves the list, it "
		     "grows for ever; set certificate_lifetime if other servers rely on it");
	err = read_file(config->crl_file, &text, &len, why);
	if (err == KT_ERR_OK && text != NULL)
		err = judge(request, setup, (struct kt_bytes){text, len}, why);
	free(text);
	return err;
}
