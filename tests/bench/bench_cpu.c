#include "bench_cpu.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

enum { PATH_LEN = 512 };

uint64_t bench_cpu_thread_ns(long pid, const char *tid)
{
	char path[PATH_LEN];
	char text[64] = "";
	FILE *file = NULL;

	snprintf(path, sizeof(path), "/proc/%ld/task/%.20s/schedstat", pid, tid);
	file = fopen(path, "r");
	if (file == NULL)
		return 0;
	if (fgets(text, sizeof(text), file) == NULL)
		text[0] = '\0';
	(void)fclose(file);
	return strtoull(text, NULL, 10);
}

uint64_t bench_cpu_ns(long pid)
{
	char path[PATH_LEN];
	const struct dirent *entry = NULL;
	uint64_t sum = 0;
	DIR *dir = NULL;

	snprintf(path, sizeof(path), "/proc/%ld/task", pid);
	dir = opendir(path);
	if (dir == NULL) {
		perror(path);
		exit(1);
	}
	while ((entry = readdir(dir)) != NULL) /* NOLINT(concurrency-mt-unsafe): own stream */
		sum += entry->d_name[0] == '.' ? 0 : bench_cpu_thread_ns(pid, entry->d_name);
	(void)closedir(dir);
	return sum;
}
