/* Before the C library (LD_PRELOAD): a connect to a broker never returns. For test_agent.sh. */
#include <unistd.h>

/* The C library's own declaration takes a union that ISO C does not know. */
__attribute__((visibility("default"), noreturn)) int connect(int fd, const void *to, unsigned len);

int connect(int fd, const void *to, unsigned len)
{
	(void)fd, (void)to, (void)len;
	for (;;)
		(void)pause();
}
