/*
 * labels - words that an operator gives a device, to name many devices by.
 *
 * A label is 1 to 63 of [A-Za-z0-9._:/-]. A set of them is one text, in the order of their bytes,
 * with commas between: there is one text for each set. Pure.
 */
#ifndef KT_LABELS_H
#define KT_LABELS_H

#include "err.h"

enum {
	KT_LABEL_MAX = 63,  /* characters of one */
	KT_LABELS_MAX = 255 /* of a set, with its commas */
};

struct kt_labels {
	char s[KT_LABELS_MAX + 1]; /* "": none */
};

bool kt_is_label(const char *text, size_t len);
/* Is it the text of a set, or ""? */
bool kt_labels_are_valid(const char *labels);
/* @labels is valid. */
bool kt_labels_have(const char *labels, const char *label);
/* KT_ERR_INVALID: @label is none; KT_ERR_TOO_LONG: no room. Adding what is there changes nothing.
 */
KT_MUST_CHECK enum kt_err kt_labels_add(struct kt_labels *labels, const char *label);
/* What is not there is no error. */
void kt_labels_remove(struct kt_labels *labels, const char *label);

#endif
