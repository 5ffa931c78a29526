#include "failing_alloc.h"

static size_t fail_at; /* 0: none; else so many from now */
static bool has_failed;
static bool is_paused;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void failing_alloc_set(size_t n)
{
	fail_at = n;
	has_failed = false;
}

bool failing_alloc_end(void)
{
	fail_at = 0;
	return has_failed;
}

void failing_alloc_pause(bool pause)
{
	is_paused = pause;
}

static bool fails_now(void)
{
	if (is_paused || fail_at == 0 || --fail_at > 0)
		return false;
	has_failed = true;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return fails_now() ? NULL : __real_realloc(old, size);
}
