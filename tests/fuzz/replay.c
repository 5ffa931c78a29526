/*
 * replay - runs a fuzz target over files, where the compiler has no libFuzzer.
 *
 * Arguments: files, or directories whose files are taken. Prints how many were run; none is a
 * failure.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { INPUT_MAX = 1024 * 1024 };

static int replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes = NULL;
	uint8_t *exact = NULL;
	size_t len;
	int result = 1;

	if (file == NULL)
		goto out;
	bytes = malloc(INPUT_MAX);
	if (bytes == NULL)
		goto out;
	len = fread(bytes, 1, INPUT_MAX, file);
	if (ferror(file) != 0)
		goto out;
	/* A block of exactly that size, so that ASan sees the first byte behind it. */
	exact = malloc(len > 0 ? len : 1);
	if (exact == NULL)
		goto out;
	memcpy(exact, bytes, len);
	(void)LLVMFuzzerTestOneInput(exact, len);
	result = 0;
out:
	if (result != 0)
		(void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
	free(exact);
	free(bytes);
	if (file != NULL)
		(void)fclose(file);
	return result;
}

static int replay_directory(const char *path, unsigned *count)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	int result = 0;

	if (dir == NULL) {
		(void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	while (result == 0 && (entry = readdir(dir)) != NULL) {
		char name[4096];

		if (entry->d_name[0] == '.')
			continue;
		if (snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) >= (int)sizeof(name))
			result = 1;
		else
			result = replay_file(name);
		(*count)++;
	}
	(void)closedir(dir);
	return result;
}

int main(int argc, char **argv)
{
	unsigned count = 0;
	int result = 0;

	for (int i = 1; i < argc && result == 0; i++) {
		struct stat st;

		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode)) {
			result = replay_directory(argv[i], &count);
		} else {
			result = replay_file(argv[i]);
			count++;
		}
	}
	(void)printf("%u inputs replayed\n", count);
	return result != 0 || count == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
