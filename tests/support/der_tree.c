#include "der_tree.h"

#include <stdlib.h>
#include <string.h>

enum { ELEMENTS_MAX = 128, COPY_MAX = 16384, DEPTH_MAX = 16 };

struct element {
	uint8_t tag;
	const uint8_t *content;
	size_t len;
	size_t parent;	 /* of the whole: itself */
	size_t children; /* 0: primitive */
	size_t first;	 /* child */
	size_t next;	 /* sibling; 0: none */
};

struct tree {
	struct element at[ELEMENTS_MAX];
	size_t count;
};

struct buffer {
	uint8_t bytes[COPY_MAX];
	size_t len;
};

static void put(struct buffer *out, const uint8_t *bytes, size_t len)
{
	if (len > COPY_MAX - out->len)
		abort();
	if (len > 0)
		memcpy(out->bytes + out->len, bytes, len);
	out->len += len;
}

static void put_u8(struct buffer *out, size_t byte)
{
	const uint8_t b = (uint8_t)byte;

	put(out, &b, 1);
}

/* --- reading: the input is ours and good --- */

static size_t read_head(const uint8_t *p, size_t *content_len)
{
	const size_t extra = p[1] < 0x80 ? 0 : p[1] & 0x7f;

	*content_len = p[1] < 0x80 ? p[1] : 0;
	for (size_t i = 0; i < extra; i++)
		*content_len = *content_len << 8 | p[2 + i];
	return 2 + extra;
}

/* One element; its children are read later, so that numbers follow the order of the levels. */
static size_t read_one(struct tree *tree, const uint8_t *p, size_t parent)
{
	size_t len;
	const size_t head = read_head(p, &len);

	if (tree->count == ELEMENTS_MAX)
		abort();
	tree->at[tree->count++] =
		(struct element){.tag = p[0], .content = p + head, .len = len, .parent = parent};
	return head + len;
}

static void read_tree(struct tree *tree, const uint8_t *bytes)
{
	tree->count = 0;
	(void)read_one(tree, bytes, 0);
	for (size_t i = 0; i < tree->count; i++) {
		struct element *e = &tree->at[i];
		size_t done = 0;

		while ((e->tag & 0x20) != 0 && done < e->len) {
			const size_t child = tree->count;

			done += read_one(tree, e->content + done, i);
			if (e->children++ == 0)
				e->first = child;
			else
				tree->at[child - 1].next = child;
		}
	}
}

/* --- writing --- */

static void put_len(struct buffer *out, size_t len)
{
	if (len >= 0x80)
		put_u8(out, len > 0xff ? 0x82 : 0x81);
	if (len > 0xff)
		put_u8(out, len >> 8);
	put_u8(out, len);
}

static void put_flawed_len(struct buffer *out, size_t len, enum der_flaw flaw)
{
	switch ((int)flaw) {
	case DER_LONG_LENGTH:
		put_u8(out, len > 0xff ? 0x83 : len >= 0x80 ? 0x82 : 0x81);
		if (len >= 0x80)
			put_u8(out, 0);
		if (len > 0xff)
			put_u8(out, len >> 8);
		put_u8(out, len);
		break;
	case DER_PADDED_LENGTH:
		put(out, (const uint8_t[]){0x84, 0, 0, (uint8_t)(len >> 8), (uint8_t)len}, 5);
		break;
	case DER_INDEFINITE:
		put_u8(out, 0x80);
		break;
	case DER_ENDLESS:
		put(out, (const uint8_t[]){0x84, 0xff, 0xff, 0xff, 0xff}, 5);
		break;
	case DER_LONGER:
		put_len(out, len + 1);
		break;
	case DER_SHORTER:
		put_len(out, len - 1);
		break;
	default:
		put_len(out, len);
		break;
	}
}

static void put_tag(struct buffer *out, uint8_t tag, enum der_flaw flaw)
{
	if (flaw == DER_OTHER_TAG)
		put_u8(out, 0x28);
	else if (flaw == DER_HIGH_TAG)
		put(out, (const uint8_t[]){(uint8_t)(tag | 0x1f), 0x81, 0x01}, 3);
	else
		put_u8(out, tag);
}

struct writer {
	const struct tree *tree;
	size_t flawed;
	enum der_flaw flaw;
};

/* From the last element to the first, so that what is inside of one is there before it. */
static void write_all(const struct writer *w, struct buffer *whole)
{
	struct buffer *part = calloc(ELEMENTS_MAX, sizeof(*part));

	if (part == NULL)
		abort();
	for (size_t i = w->tree->count; i-- > 0;) {
		const struct element *e = &w->tree->at[i];
		const enum der_flaw flaw = i == w->flawed ? w->flaw : DER_FLAW_COUNT;
		struct buffer content = {.len = 0};

		if (e->children == 0)
			put(&content, e->content, e->len);
		for (size_t c = e->children > 0 ? e->first : 0; c != 0; c = w->tree->at[c].next)
			put(&content, part[c].bytes, part[c].len);
		if (flaw == DER_EMPTY)
			content.len = 0;
		if (flaw == DER_MISSING)
			continue;
		put_tag(&part[i], e->tag, flaw);
		put_flawed_len(&part[i], content.len, flaw);
		put(&part[i], content.bytes, content.len);
		if (flaw == DER_INDEFINITE)
			put(&part[i], (const uint8_t[]){0, 0}, 2);
	}
	put(whole, part[0].bytes, part[0].len);
	free(part);
}

/* Nothing to leave out in what is empty. */
static int fits(const struct element *e, enum der_flaw flaw)
{
	return e->len > 0 || (flaw != DER_SHORTER && flaw != DER_EMPTY);
}

size_t der_each_flaw(const uint8_t *bytes, size_t len, der_each *each, void *ctx)
{
	struct tree tree;
	struct buffer *copy = malloc(sizeof(*copy));

	(void)len;
	if (copy == NULL)
		abort();
	read_tree(&tree, bytes);
	for (size_t i = 0; i < tree.count; i++) {
		for (int f = 0; f < DER_FLAW_COUNT; f++) {
			const struct writer w = {&tree, i, (enum der_flaw)f};
			uint8_t *exact;

			if (!fits(&tree.at[i], w.flaw))
				continue;
			copy->len = 0;
			write_all(&w, copy);
			exact = malloc(copy->len > 0 ? copy->len : 1);
			if (exact == NULL)
				abort();
			memcpy(exact, copy->bytes, copy->len);
			each(ctx, w.flaw, i, exact, copy->len);
			free(exact);
		}
	}
	free(copy);
	return tree.count;
}

const char *der_flaw_name(enum der_flaw flaw)
{
	static const char *const names[DER_FLAW_COUNT] = {
		[DER_LONG_LENGTH] = "long length", [DER_PADDED_LENGTH] = "padded length",
		[DER_INDEFINITE] = "indefinite",   [DER_ENDLESS] = "endless",
		[DER_LONGER] = "longer",	   [DER_SHORTER] = "shorter",
		[DER_OTHER_TAG] = "other tag",	   [DER_HIGH_TAG] = "high tag",
		[DER_MISSING] = "missing",	   [DER_EMPTY] = "empty"};

	return names[flaw];
}
