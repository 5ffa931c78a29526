/*
 * crash_shim - stands between a program and the kernel (LD_PRELOAD): counts the calls that change a
 * disk or tell somebody something, ends the program or fails the call at the n-th, or writes all of
 * them down.
 *
 *   KT_CRASH_PAGE  a file of 4,096 bytes that is mapped: struct page, to be read afterwards
 *
 *   KT_CRASH_AT    n: which call, from 1; 0 or unset: none
 *
 *   KT_CRASH_HOW   "kill": SIGKILL in place of the call; else the errno that it fails with
 *
 *   KT_CRASH_SLOW  milliseconds that a disk takes for each write and each sync: who does not wait
 * for it is seen to be early
 *
 *   KT_CRASH_SHORT  set: a write to a file takes half of what it is given, as one on a signal may
 *
 *   KT_CRASH_READ  part of a path: reading from such a file fails with EIO
 *
 *   KT_CRASH_LOG   a file that gets a struct entry with its bytes for every call that was made
 *
 * Counted: write, pwrite, writev, send, sendto, sendmsg to regular files and sockets, open with
 * O_CREAT, ftruncate, fsync, fdatasync, rename, link, symlink, unlink, mkdir, rmdir, fchmod,
 * fchown. Not seen: what the C library writes by itself (stdio: the log lines on stderr). Makes the
 * calls itself (syscall(2)), so that nothing of it can be counted. Written down as well: close,
 * open without O_CREAT, and what goes into SSL_write and local sockets, as it is before it is made
 * secret. Any thread.
 */
#undef _FORTIFY_SOURCE /* its open() is another */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <dlfcn.h>

enum kind { /* cut_states.py has the same list */
	    KIND_OPEN,
	    KIND_CLOSE,
	    KIND_WRITE,
	    KIND_TRUNCATE,
	    KIND_SYNC,
	    KIND_RENAME,
	    KIND_LINK,
	    KIND_SYMLINK,
	    KIND_UNLINK,
	    KIND_MKDIR,
	    KIND_RMDIR,
	    KIND_CHMOD,
	    KIND_CHOWN,
	    KIND_SEND,	/* to a socket; its bytes only if it is a local one */
	    KIND_TLS,	/* into SSL_write: before the call; offset names the connection */
	    KIND_START, /* of a process */
	    KIND_COUNT
};

struct page {
	uint64_t count;
	uint64_t hit;	 /* kind of the call that was hit, plus 1 */
	uint64_t is_off; /* set by the test: what comes now is not of interest */
	uint64_t by_kind[KIND_COUNT];
};

struct entry { /* followed by path, path2 and data; 64 bytes */
	uint32_t kind;
	int32_t fd; /* OPEN: the new one */
	uint64_t time_ns;
	uint64_t offset; /* WRITE, TRUNCATE: bytes; OPEN: flags */
	uint64_t order;	 /* of the call, counted from 1 */
	uint32_t mode;
	uint32_t path_len;
	uint32_t path2_len;
	uint32_t data_len;
	uint64_t pad[2];
};

static struct page own_page;
static struct page *page = &own_page;
static uint64_t crash_at;
static long slow_ms;
static int crash_errno; /* 0: kill */
static bool is_short;
static const char *unreadable;
static long own_pid;
static int log_fd = -1;
static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

struct parts {
	const char *path;
	const char *path2;
	struct iovec data;
};

static void put(struct entry *entry, const struct parts *parts);

/* --- starting --- */

static void map_page(const char *path)
{
	long fd = path != NULL ? syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
	void *p = MAP_FAILED;

	if (fd < 0)
		return;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
	syscall(SYS_close, fd);
	if (p != MAP_FAILED)
		page = p;
}

static void open_log(const char *path)
{
	long fd = path != NULL ? syscall(SYS_openat, AT_FDCWD, path,
					 O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600)
			       : -1;

	if (fd < 0)
		return;
	log_fd = fcntl((int)fd, F_DUPFD_CLOEXEC, 900); /* out of the way of the program's own */
	syscall(SYS_close, fd);
}

static void begin(void)
{
	const char *at = getenv("KT_CRASH_AT");
	const char *how = getenv("KT_CRASH_HOW");
	const char *slow = getenv("KT_CRASH_SLOW");

	own_pid = syscall(SYS_getpid);
	map_page(getenv("KT_CRASH_PAGE"));
	open_log(getenv("KT_CRASH_LOG"));
	slow_ms = slow != NULL ? strtol(slow, NULL, 10) : 0;
	crash_at = at != NULL ? strtoull(at, NULL, 10) : 0;
	if (how != NULL && strcmp(how, "EIO") == 0)
		crash_errno = EIO;
	else if (how != NULL && strcmp(how, "ENOSPC") == 0)
		crash_errno = ENOSPC;
	is_short = getenv("KT_CRASH_SHORT") != NULL;
	unreadable = getenv("KT_CRASH_READ");
	if (log_fd >= 0)
		put(&(struct entry){.kind = KIND_START}, &(struct parts){0});
	(void)unsetenv("LD_PRELOAD"); /* no program that this one starts is meant */
}

/* Another process between fork and exec is not the one that is meant. */
static bool is_ours(void)
{
	(void)pthread_once(&once, begin);
	return syscall(SYS_getpid) == own_pid;
}

__attribute__((constructor)) static void start(void)
{
	(void)pthread_once(&once, begin);
}

/* --- counting and ending --- */

/* False: the call is to fail, errno says how. Does not come back where the program is to be killed.
 */
static bool may_go(enum kind kind)
{
	uint64_t n = 0;

	if (!is_ours() || __atomic_load_n(&page->is_off, __ATOMIC_SEQ_CST) != 0)
		return true;
	n = __atomic_add_fetch(&page->count, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&page->by_kind[kind], 1, __ATOMIC_SEQ_CST);
	if (n != crash_at)
		return true;
	page->hit = (uint64_t)kind + 1;
	if (crash_errno == 0) /* no other thread is in the middle of writing down what it did */
		(void)pthread_mutex_lock(&log_mutex);
	while (crash_errno == 0)
		syscall(SYS_kill, own_pid, SIGKILL);
	errno = crash_errno;
	return false;
}

/* Before the call, and before it can be hit: the other threads go on meanwhile. */
static void wait_for_disk(void)
{
	const struct timespec t = {.tv_sec = slow_ms / 1000, .tv_nsec = slow_ms % 1000 * 1000000};

	if (is_ours() && slow_ms > 0)
		(void)nanosleep(&t, NULL);
}

/* --- writing down --- */

static void put(struct entry *entry, const struct parts *parts)
{
	struct timespec t;
	struct iovec v[4] = {{entry, sizeof(*entry)}};
	int count = 1;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	entry->time_ns = (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
	entry->order = page->count;
	entry->path_len = parts->path != NULL ? (uint32_t)strlen(parts->path) : 0;
	entry->path2_len = parts->path2 != NULL ? (uint32_t)strlen(parts->path2) : 0;
	entry->data_len = (uint32_t)parts->data.iov_len;
	v[count++] = (struct iovec){(void *)(uintptr_t)parts->path, entry->path_len};
	v[count++] = (struct iovec){(void *)(uintptr_t)parts->path2, entry->path2_len};
	v[count++] = parts->data;
	if (syscall(SYS_writev, log_fd, v, count) < 0)
		abort();
}

/* What is written down is in the order in which it was made. */
static bool lock(void)
{
	if (!is_ours() || log_fd < 0)
		return false;
	(void)pthread_mutex_lock(&log_mutex);
	return true;
}

static void unlock(bool is_locked)
{
	if (is_locked)
		(void)pthread_mutex_unlock(&log_mutex);
}

static void note(bool is_locked, long result, struct entry entry, const char *path,
		 const char *path2)
{
	const struct parts parts = {.path = path, .path2 = path2};
	int saved = errno;

	if (is_locked && result >= 0)
		put(&entry, &parts);
	errno = saved;
}

/* --- files and sockets --- */

static bool is_kind_of(int fd, mode_t type)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type;
}

static bool is_local_socket(int fd)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);

	return getsockname(fd, (struct sockaddr *)&addr, &len) == 0 && addr.ss_family == AF_UNIX;
}

static off_t where(int fd)
{
	struct stat st;

	if ((fcntl(fd, F_GETFL) & O_APPEND) != 0 && fstat(fd, &st) == 0)
		return st.st_size;
	return lseek(fd, 0, SEEK_CUR);
}

static void note_write(long result, int fd, off_t offset, const void *buf)
{
	struct entry entry = {.kind = KIND_WRITE, .fd = fd, .offset = (uint64_t)offset};
	const struct parts parts = {
		.data = {(void *)(uintptr_t)buf, (size_t)(result > 0 ? result : 0)}};
	int saved = errno;

	if (result > 0)
		put(&entry, &parts);
	errno = saved;
}

/* @offset -1: where the file stands. */
static ssize_t write_file(int fd, const void *buf, size_t len, off_t offset)
{
	bool is_locked = false;
	off_t at = offset;
	ssize_t result = 0;

	wait_for_disk();
	if (!may_go(KIND_WRITE))
		return -1;
	is_locked = lock();
	if (is_locked && offset < 0)
		at = where(fd);
	if (is_short && len > 1)
		len /= 2;
	result = offset < 0 ? syscall(SYS_write, fd, buf, len)
			    : syscall(SYS_pwrite64, fd, buf, len, offset);
	if (is_locked)
		note_write(result, fd, at, buf);
	unlock(is_locked);
	return result;
}

/* --- reading: never counted --- */

static bool may_be_read(int fd)
{
	char link[64] = "/proc/self/fd/";
	char path[4096];
	char *at = link + strlen(link);
	long len = 0;

	if (!is_ours() || unreadable == NULL)
		return true;
	for (int scale = 1000000; scale > 0; scale /= 10) {
		if (fd >= scale || scale == 1)
			*at++ = (char)('0' + fd / scale % 10);
	}
	*at = '\0';
	len = syscall(SYS_readlink, link, path, sizeof(path) - 1);
	if (len <= 0)
		return true;
	path[len] = '\0';
	if (strstr(path, unreadable) == NULL)
		return true;
	errno = EIO;
	return false;
}

ssize_t read(int fd, void *buf, size_t len)
{
	return may_be_read(fd) ? syscall(SYS_read, fd, buf, len) : -1;
}

ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
	return may_be_read(fd) ? syscall(SYS_pread64, fd, buf, len, offset) : -1;
}

ssize_t pread64(int fd, void *buf, size_t len, off64_t offset)
{
	return pread(fd, buf, len, offset);
}

/* What the headers make of the same calls where they know how large the buffer is. */
ssize_t __read_chk(int fd, void *buf, size_t len, size_t size);
ssize_t __read_chk(int fd, void *buf, size_t len, size_t size)
{
	(void)size;
	return read(fd, buf, len);
}

ssize_t __pread64_chk(int fd, void *buf, size_t len, off64_t offset, size_t size);
ssize_t __pread64_chk(int fd, void *buf, size_t len, off64_t offset, size_t size)
{
	(void)size;
	return pread(fd, buf, len, offset);
}

/* Before it is sent: who hears it may act at once. */
static void note_send(int fd, const void *buf, size_t len)
{
	struct entry entry = {.kind = KIND_SEND, .fd = fd};
	const struct parts parts = {.data = {(void *)(uintptr_t)buf, len}};
	bool is_locked = is_local_socket(fd) && lock();

	if (is_locked)
		put(&entry, &parts);
	unlock(is_locked);
}

ssize_t write(int fd, const void *buf, size_t len)
{
	if (is_kind_of(fd, S_IFREG))
		return write_file(fd, buf, len, -1);
	if (is_kind_of(fd, S_IFSOCK)) {
		if (!may_go(KIND_SEND))
			return -1;
		note_send(fd, buf, len);
	}
	return syscall(SYS_write, fd, buf, len);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	return write_file(fd, buf, len, offset);
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off64_t offset)
{
	return write_file(fd, buf, len, offset);
}

ssize_t writev(int fd, const struct iovec *v, int count)
{
	if ((is_kind_of(fd, S_IFSOCK) && !may_go(KIND_SEND)) ||
	    (is_kind_of(fd, S_IFREG) && !may_go(KIND_WRITE)))
		return -1;
	return syscall(SYS_writev, fd, v, count);
}

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	if (!may_go(KIND_SEND))
		return -1;
	note_send(fd, buf, len);
	return syscall(SYS_sendto, fd, buf, len, flags, NULL, 0);
}

/* The C library's own prototype: a union of all kinds of address. */
ssize_t sendto(int fd, const void *buf, size_t len, int flags, __CONST_SOCKADDR_ARG to,
	       socklen_t to_len)
{
	if (!may_go(KIND_SEND))
		return -1;
	return syscall(SYS_sendto, fd, buf, len, flags, to.__sockaddr__, to_len);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	if (!may_go(KIND_SEND))
		return -1;
	return syscall(SYS_sendmsg, fd, message, flags);
}

typedef int ssl_write_fn(void *ssl, const void *buf, int len);

/* Not counted by itself: the send within is. */
ssl_write_fn SSL_write;
int SSL_write(void *ssl, const void *buf, int len)
{
	struct entry entry = {.kind = KIND_TLS, .fd = -1, .offset = (uint64_t)(uintptr_t)ssl};
	const struct parts parts = {.data = {(void *)(uintptr_t)buf, (size_t)(len > 0 ? len : 0)}};
	void *symbol = dlsym(RTLD_NEXT, "SSL_write");
	ssl_write_fn *next = NULL;
	bool is_locked = lock();

	memcpy(&next, &symbol, sizeof(next));
	if (next == NULL)
		abort();
	if (is_locked)
		put(&entry, &parts);
	unlock(is_locked);
	return next(ssl, buf, len);
}

static int open_file(int dir, const char *path, int flags, mode_t mode)
{
	bool is_locked = false;
	long result = 0;

	if ((flags & O_CREAT) != 0 && !may_go(KIND_OPEN))
		return -1;
	is_locked = lock();
	result = syscall(SYS_openat, dir, path, flags, mode);
	note(is_locked, result,
	     (struct entry){.kind = KIND_OPEN,
			    .fd = (int)result,
			    .offset = (uint64_t)(unsigned)flags,
			    .mode = mode},
	     path, NULL);
	unlock(is_locked);
	return (int)result;
}

/* The mode is there only where a file may be made. */
static mode_t mode_of(int flags, va_list args)
{
	return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode = 0;

	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return open_file(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode = 0;

	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return open_file(AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
	va_list args;
	mode_t mode = 0;

	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return open_file(dir, path, flags, mode);
}

int close(int fd)
{
	bool is_locked = lock();
	long result = syscall(SYS_close, fd);

	note(is_locked, result, (struct entry){.kind = KIND_CLOSE, .fd = fd}, NULL, NULL);
	unlock(is_locked);
	return (int)result;
}

int ftruncate(int fd, off_t len)
{
	bool is_locked = false;
	long result = 0;

	if (!may_go(KIND_TRUNCATE))
		return -1;
	is_locked = lock();
	result = syscall(SYS_ftruncate, fd, len);
	note(is_locked, result,
	     (struct entry){.kind = KIND_TRUNCATE, .fd = fd, .offset = (uint64_t)len}, NULL, NULL);
	unlock(is_locked);
	return (int)result;
}

int ftruncate64(int fd, off64_t len)
{
	return ftruncate(fd, len);
}

static int sync_file(int fd, long call)
{
	bool is_locked = false;
	long result = 0;

	wait_for_disk();
	if (!may_go(KIND_SYNC))
		return -1;
	is_locked = lock();
	result = syscall(call, fd);
	note(is_locked, result, (struct entry){.kind = KIND_SYNC, .fd = fd}, NULL, NULL);
	unlock(is_locked);
	return (int)result;
}

int fsync(int fd)
{
	return sync_file(fd, SYS_fsync);
}

int fdatasync(int fd)
{
	return sync_file(fd, SYS_fdatasync);
}

int fchmod(int fd, mode_t mode)
{
	bool is_locked = false;
	long result = 0;

	if (!may_go(KIND_CHMOD))
		return -1;
	is_locked = lock();
	result = syscall(SYS_fchmod, fd, mode);
	note(is_locked, result, (struct entry){.kind = KIND_CHMOD, .fd = fd, .mode = mode}, NULL,
	     NULL);
	unlock(is_locked);
	return (int)result;
}

int fchown(int fd, uid_t uid, gid_t gid)
{
	return may_go(KIND_CHOWN) ? (int)syscall(SYS_fchown, fd, uid, gid) : -1;
}

/* --- names --- */

int rename(const char *from, const char *to)
{
	bool is_locked = false;
	long result = 0;

	if (!may_go(KIND_RENAME))
		return -1;
	is_locked = lock();
	result = syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
	note(is_locked, result, (struct entry){.kind = KIND_RENAME}, from, to);
	unlock(is_locked);
	return (int)result;
}

int link(const char *from, const char *to)
{
	bool is_locked = false;
	long result = 0;

	if (!may_go(KIND_LINK))
		return -1;
	is_locked = lock();
	result = syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
	note(is_locked, result, (struct entry){.kind = KIND_LINK}, from, to);
	unlock(is_locked);
	return (int)result;
}

int symlink(const char *target, const char *path)
{
	bool is_locked = false;
	long result = 0;

	if (!may_go(KIND_SYMLINK))
		return -1;
	is_locked = lock();
	result = syscall(SYS_symlinkat, target, AT_FDCWD, path);
	note(is_locked, result, (struct entry){.kind = KIND_SYMLINK}, path, target);
	unlock(is_locked);
	return (int)result;
}

static int remove_name(enum kind kind, const char *path, int flags)
{
	bool is_locked = false;
	long result = 0;

	if (!may_go(kind))
		return -1;
	is_locked = lock();
	result = syscall(SYS_unlinkat, AT_FDCWD, path, flags);
	note(is_locked, result, (struct entry){.kind = kind}, path, NULL);
	unlock(is_locked);
	return (int)result;
}

int unlink(const char *path)
{
	return remove_name(KIND_UNLINK, path, 0);
}

int rmdir(const char *path)
{
	return remove_name(KIND_RMDIR, path, AT_REMOVEDIR);
}

int mkdir(const char *path, mode_t mode)
{
	bool is_locked = false;
	long result = 0;

	if (!may_go(KIND_MKDIR))
		return -1;
	is_locked = lock();
	result = syscall(SYS_mkdirat, AT_FDCWD, path, mode);
	note(is_locked, result, (struct entry){.kind = KIND_MKDIR, .mode = mode}, path, NULL);
	unlock(is_locked);
	return (int)result;
}
