/*
 * alloc_shim - stands between a program and the C library's allocator (LD_PRELOAD): counts the
 * allocations that our code makes, and fails those that it is told to.
 *
 *   KT_ALLOC_PAGE  a file of PAGE_BYTES that is mapped: struct page; written and read while the
 * program runs
 *
 *   KT_ALLOC_OPENSSL  "no": what OpenSSL asks for is never ours. It asks so often for others that
 * looking into each makes a start slow
 *
 *   KT_ALLOC_OURS  whose allocations count: the name of a file as it was loaded
 * ("mosquitto_keyturn.so"), or "-" for the program itself
 *
 * Ours is an allocation where, seen from the allocator, the first frame that is in none of the
 * libraries below is in our text: what our code asks for itself, and what the C library, wolfSSL,
 * cJSON, SQLite and OpenSSL ask for on its behalf. What a broker or an MQTT library asks for is
 * theirs, also when we called them. Any thread.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

enum { PATHS_MAX = 65536, DEPTH_MAX = 200, OPENSSL_COUNT = 2 /* at the head of the list */ };

struct page {
	uint64_t is_armed;
	uint64_t count;		  /* of ours, since it was armed */
	uint64_t fail_from;	  /* which of them fail: from here, counted from 1 ... */
	uint64_t fail_to;	  /* ... up to here */
	uint64_t failed;	  /* so many did */
	uint64_t direct;	  /* asked for by our own code, not by a library */
	uint64_t first;		  /* where in our text the first that failed was asked for */
	uint64_t pid;		  /* of the program that is meant */
	uint32_t path[PATHS_MAX]; /* of each by its number: the call path, hashed */
};

enum { PAGE_BYTES = sizeof(struct page) };

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
/* The C library's own allocator calls are the ones meant; these stand in front of them. */
void *memalign(size_t alignment, size_t size);

static struct page *page;
static const char *ours;
static bool is_openssl_theirs;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static __thread bool is_inside __attribute__((tls_model("initial-exec")));

static void begin(void)
{
	const char *path = getenv("KT_ALLOC_PAGE");
	const char *openssl = getenv("KT_ALLOC_OPENSSL");
	long fd = path != NULL ? syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
	void *p = MAP_FAILED;

	is_openssl_theirs = openssl != NULL && strcmp(openssl, "no") == 0;
	ours = getenv("KT_ALLOC_OURS");
	if (fd < 0 || ours == NULL)
		return;
	p = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
	syscall(SYS_close, fd);
	if (p == MAP_FAILED)
		return;
	(void)unsetenv("LD_PRELOAD"); /* no program that this one starts is meant */
	((struct page *)p)->pid = (uint64_t)syscall(SYS_getpid);
	page = p;
}

__attribute__((constructor)) static void start(void)
{
	is_inside = true;
	(void)pthread_once(&once, begin);
	is_inside = false;
}

/* --- who asks --- */

struct walk {
	uint32_t hash;
	unsigned depth;
	bool is_ours;
	bool is_direct;
	uint64_t where;
};

/* "" is the program itself. */
static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* Whose calls count as those of who called it. */
static bool is_library(const char *name)
{
	static const char *const names[] = {"libcrypto.so",  "libssl.so",   "libc.so",
					    "libwolfssl.so", "libcjson.so", "libsqlite3.so",
					    "libgcc_s.so",   "ld-linux",    "alloc_shim.so"};

	for (size_t i = is_openssl_theirs ? OPENSSL_COUNT : 0; i < sizeof(names) / sizeof(names[0]);
	     i++) {
		if (strncmp(name, names[i], strlen(names[i])) == 0)
			return true;
	}
	return false;
}

static _Unwind_Reason_Code look(struct _Unwind_Context *context, void *arg)
{
	struct walk *walk = arg;
	struct dl_find_object found;
	uint64_t pc = _Unwind_GetIP(context) - 1; /* of the call, not behind it */
	const char *name = NULL;
	bool is_mine = false;

	if (walk->depth++ > DEPTH_MAX || _dl_find_object((void *)pc, &found) != 0)
		return _URC_END_OF_STACK;
	name = base_name(found.dlfo_link_map->l_name);
	pc -= found.dlfo_link_map->l_addr;
	is_mine = ours[0] == '-' ? name[0] == '\0' : strcmp(name, ours) == 0;
	if (walk->is_ours && !is_mine)
		return _URC_END_OF_STACK;
	walk->hash = (walk->hash ^ (uint32_t)(pc ^ (pc >> 32))) * 16777619U;
	if (is_mine) { /* and on, as long as it is us: who wanted it is part of the path */
		if (!walk->is_ours)
			walk->where = pc;
		walk->is_ours = true;
		return _URC_NO_REASON;
	}
	if (strcmp(name, "alloc_shim.so") != 0)
		walk->is_direct = false;
	return is_library(name) ? _URC_NO_REASON : _URC_END_OF_STACK;
}

/* True: this one is to fail. */
static bool fails(void)
{
	struct walk walk = {.hash = 2166136261U, .is_direct = true};
	uint64_t n = 0;

	if (page == NULL || is_inside || __atomic_load_n(&page->is_armed, __ATOMIC_SEQ_CST) == 0)
		return false;
	is_inside = true;
	if (page->pid == (uint64_t)syscall(SYS_getpid))
		(void)_Unwind_Backtrace(look, &walk);
	is_inside = false;
	if (!walk.is_ours)
		return false;
	n = __atomic_add_fetch(&page->count, 1, __ATOMIC_SEQ_CST);
	if (n <= PATHS_MAX)
		page->path[n - 1] = walk.hash;
	if (walk.is_direct)
		__atomic_add_fetch(&page->direct, 1, __ATOMIC_SEQ_CST);
	if (n < page->fail_from || n > page->fail_to)
		return false;
	if (__atomic_add_fetch(&page->failed, 1, __ATOMIC_SEQ_CST) == 1)
		page->first = walk.where;
	errno = ENOMEM;
	return true;
}

/* --- the allocator --- */

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return size > 0 && fails() ? NULL : __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size)
{
	return fails() ? NULL : __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
	*out = memalign(alignment, size);
	return *out != NULL || size == 0 ? 0 : ENOMEM;
}
