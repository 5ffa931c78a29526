#include "labels.h"

#include <string.h>

#include "types.h"

bool kt_is_label(const char *text, size_t len)
{
	return len <= KT_LABEL_MAX && kt_is_name(text, len, ":/");
}

/* Bytewise; a label that begins another one comes before it. */
static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	const int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	if (order != 0)
		return order;
	return a_len == b_len ? 0 : (a_len < b_len ? -1 : 1);
}

bool kt_labels_are_valid(const char *labels)
{
	const char *before = NULL;
	size_t before_len = 0;

	if (labels[0] == '\0')
		return true;
	if (strnlen(labels, KT_LABELS_MAX + 1) > KT_LABELS_MAX)
		return false;
	for (const char *at = labels;;) {
		const size_t len = strcspn(at, ",");

		if (!kt_is_label(at, len) ||
		    (before != NULL && compare(before, before_len, at, len) >= 0))
			return false;
		if (at[len] == '\0')
			return true;
		before = at;
		before_len = len;
		at += len + 1;
	}
}

/* Where @label stands, or would; *is_there says which. */
static size_t place_of(const char *labels, const char *label, bool *is_there)
{
	const size_t len = strlen(label);
	const char *at = labels;

	*is_there = false;
	while (*at != '\0') {
		const size_t at_len = strcspn(at, ",");
		const int order = compare(at, at_len, label, len);

		*is_there = order == 0;
		if (order >= 0)
			break;
		at += at_len;
		at += *at == ',' ? 1 : 0;
	}
	return (size_t)(at - labels);
}

bool kt_labels_have(const char *labels, const char *label)
{
	bool is_there;

	(void)place_of(labels, label, &is_there);
	return is_there;
}

enum kt_err kt_labels_add(struct kt_labels *labels, const char *label)
{
	const size_t len = strlen(label);
	const size_t old = strlen(labels->s);
	bool is_there;
	size_t at;

	if (!kt_is_label(label, len))
		return KT_ERR_INVALID;
	at = place_of(labels->s, label, &is_there);
	if (is_there)
		return KT_ERR_OK;
	if (old + len + (old > 0 ? 1 : 0) > KT_LABELS_MAX)
		return KT_ERR_TOO_LONG;
	if (at == old && old > 0) { /* behind the last one */
		labels->s[old] = ',';
		memcpy(labels->s + old + 1, label, len + 1);
		return KT_ERR_OK;
	}
	memmove(labels->s + at + len + (old > 0 ? 1 : 0), labels->s + at, old - at + 1);
	memcpy(labels->s + at, label, len);
	if (old > 0)
		labels->s[at + len] = ',';
	return KT_ERR_OK;
}

void kt_labels_remove(struct kt_labels *labels, const char *label)
{
	bool is_there;
	const size_t at = place_of(labels->s, label, &is_there);
	const size_t len = strlen(label);
	const char *behind = labels->s + at + len;

	if (!is_there)
		return;
	if (*behind == ',') { /* the comma behind it goes too */
		memmove(labels->s + at, behind + 1, strlen(behind + 1) + 1);
		return;
	}
	labels->s[at > 0 ? at - 1 : 0] = '\0'; /* the last one, and the comma before it */
}
