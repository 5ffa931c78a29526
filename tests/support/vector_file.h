/*
 * vector_file - reads a committed test vector, or any other file of the source tree.
 */
#ifndef KT_VECTOR_FILE_H
#define KT_VECTOR_FILE_H

#include <stdio.h>
#include <stdlib.h>

enum { VECTOR_FILE_MAX = 1024 * 1024 };

/*
 * The file KT_VECTORS "/" @path: malloc'ed, NUL-terminated, without one newline at its end. NULL if
 * it cannot be read.
 */
static inline char *vector_file_load(const char *path)
{
	char name[1024];
	char *text = NULL;
	size_t len = 0;
	FILE *f = NULL;

	(void)snprintf(name, sizeof(name), "%s/%s", KT_VECTORS, path);
	f = fopen(name, "re");
	if (f == NULL)
		return NULL;
	text = malloc(VECTOR_FILE_MAX);
	if (text != NULL) {
		len = fread(text, 1, VECTOR_FILE_MAX - 1, f);
		if (len > 0 && text[len - 1] == '\n')
			len--;
		text[len] = '\0';
	}
	(void)fclose(f);
	return text;
}

#endif
