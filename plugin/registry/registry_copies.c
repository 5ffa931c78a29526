#include <stdlib.h>
#include <string.h>

#include "registry_internal.h"

bool kt_copy_text(const char *text, char **out)
{
	if (text[0] != '\0')
		*out = strdup(text);
	return text[0] == '\0' || *out != NULL;
}

static bool copy_der(const struct kt_record *record, uint8_t **out)
{
	if (record->kind != KT_RECORD_ISSUE)
		return true;
	*out = malloc(record->der.len);
	if (*out != NULL)
		memcpy(*out, record->der.p, record->der.len);
	return *out != NULL;
}

enum kt_err kt_copies_make(struct kt_copies *copies, const struct kt_record *record)
{
	if (kt_copy_text(record->group, &copies->group) &&
	    kt_copy_text(record->labels.s, &copies->labels) && copy_der(record, &copies->der))
		return KT_ERR_OK;
	kt_copies_free(copies);
	return KT_ERR_NOMEM;
}

void kt_copies_free(struct kt_copies *copies)
{
	free(copies->group);
	free(copies->labels);
	free(copies->der);
	memset(copies, 0, sizeof(*copies));
}
