/*
 * bench_connect - connects to a broker on 127.0.0.1, each time with a device's certificate.
 *
 *   bench_connect PORT IDENTITY_DIR DEVICES CONNECTS [OPTION...]
 *
 * TCP, TLS 1.3 handshake, MQTT 3.1.1 CONNECT as bench-<i>, CONNACK, DISCONNECT, wait for the end:
 * so all of the broker's work for a connection is done when the next one starts. Prints how many
 * were accepted, and exits 1 unless all were.
 *
 *   at-once=N       so many on their way at a time, each of them with devices of its own
 *   pid=PID         also the processor's time that this process took meanwhile, all its threads
 *   password=WORD   with a user name, which is the client id, and this password
 *   save=DIR        the last session ticket of each device is kept, DIR/<i>.ticket
 *   resume=DIR      each handshake resumes with the device's last ticket, the first with that one;
 *                   a full handshake is a failure
 *   await           tries again until one is accepted; prints the moment, in us since 1970
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench_cpu.h"

enum {
	DEVICES_MAX = 1000,
	CONNECTS_MAX = 1000000,
	AT_ONCE_MAX = 64,
	CONNACK_LEN = 4,
	PATH_LEN = 512,
	RETRY_US = 500
};

struct device {
	SSL_CTX *ctx;
	SSL_SESSION *ticket; /* the last one; NULL: none */
};

struct load {
	uint16_t port;
	const char *dir;
	const char *password; /* NULL: none */
	const char *save_dir;
	const char *resume_dir;
	size_t device_count;
	size_t connect_count;
	size_t at_once;
	long pid; /* 0: nobody's time */
	bool has_await;
	struct device devices[DEVICES_MAX];
};

struct worker {
	struct load *load;
	pthread_t thread;
	size_t first;
	size_t accepted;
};

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "bench_connect: %s\n", what);
	exit(1);
}

/* Takes the ticket over. */
static int keep_ticket(SSL *ssl, SSL_SESSION *session)
{
	struct device *device = SSL_get_app_data(ssl);

	SSL_SESSION_free(device->ticket);
	device->ticket = session;
	return 1;
}

static SSL_SESSION *read_ticket(const char *dir, size_t i)
{
	char path[PATH_LEN];
	SSL_SESSION *session = NULL;
	FILE *file = NULL;

	snprintf(path, sizeof(path), "%s/%zu.ticket", dir, i);
	file = fopen(path, "r");
	if (file != NULL) {
		session = PEM_read_SSL_SESSION(file, NULL, NULL, NULL);
		(void)fclose(file);
	}
	if (session == NULL)
		fail(path);
	return session;
}

static void write_ticket(const char *dir, size_t i, SSL_SESSION *session)
{
	char path[PATH_LEN];
	FILE *file = NULL;

	snprintf(path, sizeof(path), "%s/%zu.ticket", dir, i);
	file = fopen(path, "w");
	if (session == NULL || file == NULL || PEM_write_SSL_SESSION(file, session) != 1 ||
	    fclose(file) != 0)
		fail(path);
}

static void open_device(struct load *load, size_t i)
{
	struct device *device = &load->devices[i];
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	char path[PATH_LEN];

	snprintf(path, sizeof(path), "%s/%zu.pem", load->dir, i);
	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_use_certificate_chain_file(ctx, path) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM) != 1)
		fail(path);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, keep_ticket);
	device->ctx = ctx;
	if (load->resume_dir != NULL)
		device->ticket = read_ticket(load->resume_dir, i);
}

/* -1: nobody listens there. */
static int connect_tcp(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
		fail("socket");
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static uint8_t *put_text(uint8_t *at, const char *text)
{
	size_t len = strlen(text);

	*at++ = 0;
	*at++ = (uint8_t)len;
	memcpy(at, text, len);
	return at + len;
}

static size_t make_connect(const char *password, size_t i, uint8_t *out, size_t cap)
{
	static const uint8_t head[] = {0, 4, 'M', 'Q', 'T', 'T', 4, 2 /* clean */, 0, 60};
	char id[32];
	uint8_t *at = out + 2 + sizeof(head);

	snprintf(id, sizeof(id), "bench-%zu", i);
	if (cap < 128 ||
	    sizeof(head) + 6 + 2 * strlen(id) + (password == NULL ? 0 : strlen(password)) > 127)
		fail("the CONNECT is too long");
	memcpy(out + 2, head, sizeof(head));
	at = put_text(at, id);
	if (password != NULL) {
		out[2 + 7] |= 0xc0; /* user name and password */
		at = put_text(at, id);
		at = put_text(at, password);
	}
	out[0] = 0x10;
	out[1] = (uint8_t)(at - out - 2);
	return (size_t)(at - out);
}

static bool has_shaken_hands(const struct load *load, struct device *device, SSL *ssl, int fd)
{
	if (SSL_set_fd(ssl, fd) != 1 || SSL_set_app_data(ssl, device) != 1 ||
	    (load->resume_dir != NULL && SSL_set_session(ssl, device->ticket) != 1) ||
	    SSL_connect(ssl) != 1)
		return false;
	return (SSL_session_reused(ssl) == 1) == (load->resume_dir != NULL);
}

static bool is_accepted(struct load *load, size_t i)
{
	static const uint8_t disconnect[] = {0xe0, 0};
	uint8_t buf[256];
	size_t len = make_connect(load->password, i, buf, sizeof(buf));
	struct device *device = &load->devices[i];
	int fd = connect_tcp(load->port);
	SSL *ssl = NULL;
	bool accepted = false;

	if (fd < 0)
		return false;
	ssl = SSL_new(device->ctx);
	if (ssl != NULL && has_shaken_hands(load, device, ssl, fd) &&
	    SSL_write(ssl, buf, (int)len) == (int)len &&
	    SSL_read(ssl, buf, sizeof(buf)) == CONNACK_LEN && buf[0] == 0x20 && buf[3] == 0) {
		accepted =
			SSL_write(ssl, disconnect, sizeof(disconnect)) == (int)sizeof(disconnect);
		while (SSL_read(ssl, buf, sizeof(buf)) > 0)
			;
	}
	if (ssl != NULL) { /* without a word, but so that OpenSSL lets its tickets be used again */
		SSL_set_quiet_shutdown(ssl, 1);
		(void)SSL_shutdown(ssl);
	}
	SSL_free(ssl);
	(void)close(fd);
	return accepted;
}

/* Devices first, first + at_once ...: so nobody takes another's session over. */
static void *run(void *arg)
{
	struct worker *worker = arg;
	struct load *load = worker->load;
	const size_t own = (load->device_count - worker->first - 1) / load->at_once + 1;
	size_t n = 0;

	for (size_t i = worker->first; i < load->connect_count; i += load->at_once, n++)
		worker->accepted +=
			(size_t)is_accepted(load, worker->first + n % own * load->at_once);
	return NULL;
}

static size_t run_all(struct load *load)
{
	static struct worker workers[AT_ONCE_MAX];
	size_t accepted = 0;

	for (size_t i = 0; i < load->at_once; i++) {
		workers[i] = (struct worker){.load = load, .first = i};
		if (pthread_create(&workers[i].thread, NULL, run, &workers[i]) != 0)
			fail("cannot start a thread");
	}
	for (size_t i = 0; i < load->at_once; i++) {
		(void)pthread_join(workers[i].thread, NULL);
		accepted += workers[i].accepted;
	}
	return accepted;
}

static int await(struct load *load)
{
	struct timespec now;

	while (!is_accepted(load, 0))
		(void)usleep(RETRY_US);
	(void)clock_gettime(CLOCK_REALTIME, &now);
	printf("%lld\n", (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	return 0;
}

static const char *value_of(const char *option, const char *name)
{
	const size_t len = strlen(name);

	return strncmp(option, name, len) == 0 ? option + len : NULL;
}

static bool read_option(struct load *load, const char *option)
{
	const char *value = NULL;

	if ((value = value_of(option, "at-once=")) != NULL)
		load->at_once = strtoul(value, NULL, 10);
	else if ((value = value_of(option, "pid=")) != NULL)
		load->pid = strtol(value, NULL, 10);
	else if ((value = value_of(option, "password=")) != NULL)
		load->password = value;
	else if ((value = value_of(option, "save=")) != NULL)
		load->save_dir = value;
	else if ((value = value_of(option, "resume=")) != NULL)
		load->resume_dir = value;
	else if (strcmp(option, "await") == 0)
		load->has_await = true;
	else
		return false;
	return true;
}

static bool read_arguments(struct load *load, int argc, char **argv)
{
	unsigned long port = 0;

	if (argc < 5)
		return false;
	port = strtoul(argv[1], NULL, 10);
	load->port = (uint16_t)port;
	load->dir = argv[2];
	load->device_count = strtoul(argv[3], NULL, 10);
	load->connect_count = strtoul(argv[4], NULL, 10);
	load->at_once = 1;
	for (int i = 5; i < argc; i++) {
		if (!read_option(load, argv[i]))
			return false;
	}
	return port > 0 && port <= UINT16_MAX && load->device_count > 0 &&
	       load->device_count <= DEVICES_MAX && load->connect_count > 0 &&
	       load->connect_count <= CONNECTS_MAX && load->at_once > 0 &&
	       load->at_once <= AT_ONCE_MAX && load->at_once <= load->device_count;
}

int main(int argc, char **argv)
{
	static struct load load;
	uint64_t before = 0;
	size_t accepted = 0;

	if (!read_arguments(&load, argc, argv)) {
		fprintf(stderr,
			"usage: bench_connect PORT IDENTITY_DIR DEVICES CONNECTS [OPTION...]"
			"\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN); /* a refused connect is counted, no more */
	for (size_t i = 0; i < load.device_count; i++)
		open_device(&load, i);
	if (load.has_await)
		return await(&load);
	if (load.pid != 0)
		before = bench_cpu_ns(load.pid);
	accepted = run_all(&load);
	printf("%zu of %zu connects accepted\n", accepted, load.connect_count);
	if (load.pid != 0)
		printf("cpu_ns %llu\n", (unsigned long long)(bench_cpu_ns(load.pid) - before));
	for (size_t i = 0; i < load.device_count; i++) {
		if (load.save_dir != NULL)
			write_ticket(load.save_dir, i, load.devices[i].ticket);
		SSL_SESSION_free(load.devices[i].ticket);
		SSL_CTX_free(load.devices[i].ctx);
	}
	return accepted == load.connect_count ? 0 : 1;
}
