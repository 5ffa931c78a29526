#include "err.h"

#include <string.h>

struct err_entry {
	const char *name;
	const char *text;
	enum kt_err_class cls;
};

static const struct err_entry err_table[] = {
#define ERR_ENTRY(code, name, cls, text) [KT_ERR_##code] = {name, text, KT_ERR_CLASS_##cls},
	KT_ERR_LIST(ERR_ENTRY)
#undef ERR_ENTRY
};

static const struct err_entry *err_find(enum kt_err err)
{
	/* A value outside the list is a defect: the class that stops everything. */
	static const struct err_entry outside = {"?", "an error outside the list",
						 KT_ERR_CLASS_FATAL};
	size_t index = (size_t)err;

	return index < sizeof(err_table) / sizeof(err_table[0]) ? &err_table[index] : &outside;
}

const char *kt_err_name(enum kt_err err)
{
	return err_find(err)->name;
}

const char *kt_err_text(enum kt_err err)
{
	return err_find(err)->text;
}

enum kt_err_class kt_err_class(enum kt_err err)
{
	return err_find(err)->cls;
}

/* GNU strerror_r: the text need not be in the buffer. */
const char *kt_err_cause(enum kt_err err, int saved, char buf[static KT_ERR_CAUSE_MAX])
{
	return err == KT_ERR_SYS ? strerror_r(saved, buf, KT_ERR_CAUSE_MAX) : kt_err_text(err);
}
