#include <stdlib.h>
#include <string.h>

#include "control_internal.h"
#include "crypto.h"
#include "encoding.h"

/* PEM, or the base64 of its DER. @der holds KT_CERT_MAX bytes. */
static bool take_certificate(struct kt_control *c, uint8_t der[static KT_CERT_MAX], size_t *len)
{
	const char *text = kt_json_string(c->item, "certificate");
	const size_t text_len = strlen(text);
	struct kt_bytes cert;
	uint8_t *storage = NULL;
	size_t count = 0;
	enum kt_err err = KT_ERR_INVALID;

	*len = 0;
	if (strstr(text, "-----BEGIN") == NULL) {
		err = kt_b64_decode(text, text_len, der, KT_CERT_MAX, len);
	} else {
		err = kt_pem_certs((const uint8_t *)text, text_len, &cert, 1, &count, &storage);
		if (err == KT_ERR_OK) {
			memcpy(der, cert.p, cert.len);
			*len = cert.len;
		}
		free(storage);
	}
	if (err == KT_ERR_OK && *len == 0) {
		err = KT_ERR_INVALID;
	}
	if (err == KT_ERR_NOMEM) {
		return kt_refuse(&c->refusal, KT_REASON_BUSY, "", "out of memory, try again");
	}
	return err == KT_ERR_OK ? true
				: kt_refuse(&c->refusal, KT_REASON_CERT_SYNTAX, "certificate",
					    "is not one certificate in PEM, nor base64 of its DER");
}

static void report(struct kt_control *c, const struct kt_import *import,
		   const struct kt_imported *imported)
{
	struct kt_json_writer *w = kt_control_data(c);
	kt_json_put_string(w, "device", import->device);
	kt_json_put_hex(w, "fp", imported->fp.b, sizeof(imported->fp.b));
	kt_json_put_hex(w, "keyId", imported->key_id.b, sizeof(imported->key_id.b));
	/* which key it is decides how the hub moves on: by rotation, or by a ticket */
	kt_json_put_bool(w, "canRotate", imported->alg != KT_ALG_NONE);
	kt_json_put_bool(w, "known", imported->is_known);
	if (imported->not_after_s != KT_CERT_NO_END) {
		kt_control_put_time(w, "notAfter", imported->not_after_s * 1000000);
	}
}

void kt_command_import_certificate(struct kt_control *c)
{
	uint8_t der[KT_CERT_MAX];
	struct kt_device_id id;
	struct kt_import import = {.is_check = kt_json_bool(c->item, "check")};
	struct kt_imported imported;
	struct kt_outcome outcome;

	if (!kt_field_device(c->item, &id, &c->refusal) ||
	    !kt_field_name(c->item, "group", false, &import.group, &c->refusal) ||
	    !take_certificate(c, der, &import.certificate.len)) {
		return;
	}
	import.device = id.s;
	import.certificate.p = der;
	outcome = kt_device_import(c->core, &import, c->actor, &imported);
	if (imported.why != NULL) {
		(void)kt_refuse(&c->refusal, outcome.reason, "", imported.why);
	}
	if (kt_control_outcome(c, outcome)) {
		c->device = kt_registry_find_device(c->core->registry, id.s);
		report(c, &import, &imported);
	}
}
