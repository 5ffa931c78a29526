/*
 * bench_storm - clients that a broker does not want: who is refused, and who just stands there.
 *
 *   bench_storm connects PORT IDENTITIES COUNT RATE SECONDS
 *   bench_storm flat_out PORT IDENTITIES COUNT TOTAL AT_A_TIME
 *   bench_storm stand PORT IDLE HALF
 *
 * connects: RATE connects a second for SECONDS, with the certificates IDENTITIES/0.pem ... COUNT -
 * 1, as bench-<i>:agent, each a full TLS 1.3 handshake and an MQTT CONNECT; one line of JSON at the
 * end: how many were made, refused by TLS, refused by a CONNACK, let in, closed without a word, or
 * nothing of that within ten seconds. flat_out: TOTAL of them as fast as it goes, AT_A_TIME on
 * their way. stand: IDLE TCP connections without a byte, and HALF that
 * send a ClientHello, get the server's answer, and say nothing more. "ready" on stdout; one line of
 * JSON when stdin ends: how many are still connected.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench_client.h"

enum {
	IDENTITIES_MAX = 64,
	IN_FLIGHT_MAX = 512,
	PATIENCE_US = 10000000,
	HELLO_WAIT_MS = 10000,
	STANDING_MAX = 4096
};

struct identity {
	SSL_CTX *ctx;
	char client_id[40];
};

struct attempt {
	struct attempt *next; /* free ones */
	int fd;
	SSL *ssl;
	const struct identity *identity;
	int64_t begun_us;
	bool is_live;
	bool has_tls;
};

struct storm {
	int epoll;
	uint16_t port;
	struct identity identity[IDENTITIES_MAX];
	size_t identity_count;
	struct attempt attempt[IN_FLIGHT_MAX];
	struct attempt *free;
	size_t in_flight;
	size_t made;
	size_t refused_tls;
	size_t refused_mqtt;
	size_t let_in;
	size_t closed; /* without a word */
	size_t hung;
	int64_t latest_us; /* how far behind its pace a connect began, at most */
};

static int connect_tcp(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
	    (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 &&
	     errno != EINPROGRESS))
		bench_fail("connect", strerror(errno));
	return fd;
}

static SSL_CTX *new_context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1)
		bench_fail("TLS", "no context");
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return ctx;
}

/* --- connects --- */

static void load_identities(struct storm *storm, const char *dir, size_t count)
{
	storm->identity_count = count;
	for (size_t i = 0; i < count; i++) {
		struct identity *identity = &storm->identity[i];
		char path[512];

		snprintf(path, sizeof(path), "%s/%zu.pem", dir, i);
		snprintf(identity->client_id, sizeof(identity->client_id), "bench-%zu:agent", i);
		identity->ctx = new_context();
		if (SSL_CTX_use_certificate_chain_file(identity->ctx, path) != 1 ||
		    SSL_CTX_use_PrivateKey_file(identity->ctx, path, SSL_FILETYPE_PEM) != 1)
			bench_fail(path, "cannot be used");
	}
}

static void watch(struct storm *storm, struct attempt *attempt, uint32_t events, int how)
{
	struct epoll_event event = {.events = events, .data = {.ptr = attempt}};

	if (epoll_ctl(storm->epoll, how, attempt->fd, &event) != 0)
		bench_fail("epoll", strerror(errno));
}

static void begin(struct storm *storm, int64_t now_us)
{
	struct attempt *attempt = storm->free;

	storm->free = attempt->next;
	attempt->identity = &storm->identity[storm->made % storm->identity_count];
	attempt->fd = connect_tcp(storm->port);
	attempt->ssl = SSL_new(attempt->identity->ctx);
	if (attempt->ssl == NULL || SSL_set_fd(attempt->ssl, attempt->fd) != 1)
		bench_fail("TLS", "no memory");
	SSL_set_connect_state(attempt->ssl);
	attempt->begun_us = now_us;
	attempt->is_live = true;
	attempt->has_tls = false;
	watch(storm, attempt, EPOLLOUT, EPOLL_CTL_ADD);
	storm->made++;
	storm->in_flight++;
}

static void end(struct storm *storm, struct attempt *attempt, size_t *count)
{
	(*count)++;
	SSL_free(attempt->ssl);
	(void)close(attempt->fd);
	attempt->is_live = false;
	attempt->next = storm->free;
	storm->free = attempt;
	storm->in_flight--;
	ERR_clear_error();
}

static void send_connect(const struct attempt *attempt)
{
	static const uint8_t head[] = {0, 4, 'M', 'Q', 'T', 'T', 5, 2 /* clean start */, 0, 60, 0};
	const size_t id_len = strlen(attempt->identity->client_id);
	uint8_t packet[64];

	packet[0] = 0x10;
	packet[1] = (uint8_t)(sizeof(head) + 2 + id_len);
	memcpy(packet + 2, head, sizeof(head));
	packet[2 + sizeof(head)] = 0;
	packet[3 + sizeof(head)] = (uint8_t)id_len;
	memcpy(packet + 4 + sizeof(head), attempt->identity->client_id, id_len);
	/* where the broker has hung up already, the next read says so */
	(void)SSL_write(attempt->ssl, packet, (int)(4 + sizeof(head) + id_len));
}

/* In TLS 1.3 the client is done before the server has judged: a refusal by TLS shows at a read. */
static void go_on(struct storm *storm, struct attempt *attempt)
{
	uint8_t answer[64];
	int rc;
	int why;

	if (!attempt->has_tls) {
		rc = SSL_do_handshake(attempt->ssl);
		why = SSL_get_error(attempt->ssl, rc);
		if (rc != 1 && (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)) {
			watch(storm, attempt, why == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT,
			      EPOLL_CTL_MOD);
			return;
		}
		if (rc != 1) {
			end(storm, attempt, &storm->refused_tls);
			return;
		}
		attempt->has_tls = true;
		send_connect(attempt);
		watch(storm, attempt, EPOLLIN, EPOLL_CTL_MOD);
	}
	rc = SSL_read(attempt->ssl, answer, sizeof(answer));
	why = SSL_get_error(attempt->ssl, rc);
	if (rc <= 0 && why == SSL_ERROR_WANT_READ)
		return;
	if (rc <= 0)
		end(storm, attempt, why == SSL_ERROR_SSL ? &storm->refused_tls : &storm->closed);
	else
		end(storm, attempt,
		    rc >= 4 && answer[0] == 0x20 && answer[3] != 0 ? &storm->refused_mqtt
								   : &storm->let_in);
}

static void give_up(struct storm *storm, int64_t now_us)
{
	for (size_t i = 0; i < IN_FLIGHT_MAX; i++) {
		struct attempt *attempt = &storm->attempt[i];

		if (attempt->is_live && now_us - attempt->begun_us >= PATIENCE_US)
			end(storm, attempt, &storm->hung);
	}
}

static void run_until(struct storm *storm, int64_t until_us)
{
	struct epoll_event events[256];
	int64_t wait_us = until_us - bench_mono_us();
	int count = epoll_wait(storm->epoll, events, 256,
			       wait_us <= 0 ? 0 : (int)((wait_us + 999) / 1000));

	for (int i = 0; i < count; i++)
		go_on(storm, events[i].data.ptr);
}

/* When the next one is due; without a @rate: when the first one was. */
static int64_t due(const struct storm *storm, int64_t start_us, size_t rate)
{
	return rate == 0 ? start_us : start_us + (int64_t)(storm->made * 1000000 / rate);
}

static void connects(struct storm *storm, size_t rate, size_t total)
{
	const int64_t start_us = bench_mono_us();

	while (storm->made < total || storm->in_flight > 0) {
		const int64_t now_us = bench_mono_us();
		int64_t due_us = due(storm, start_us, rate);

		/* where the broker does not keep up, they come late, and that is told */
		while (storm->made < total && due_us <= now_us && storm->free != NULL) {
			if (rate != 0 && now_us - due_us > storm->latest_us)
				storm->latest_us = now_us - due_us;
			begin(storm, now_us);
			due_us = due(storm, start_us, rate);
		}
		give_up(storm, now_us);
		run_until(storm,
			  storm->made < total && storm->free != NULL ? due_us : now_us + 100000);
	}
	printf("{\"made\":%zu,\"refused_tls\":%zu,\"refused_mqtt\":%zu,\"let_in\":%zu,"
	       "\"closed\":%zu,\"hung\":%zu,\"late_ms\":%lld}\n",
	       storm->made, storm->refused_tls, storm->refused_mqtt, storm->let_in, storm->closed,
	       storm->hung, (long long)(storm->latest_us / 1000));
}

static int run_connects(char **args, bool is_flat_out)
{
	struct storm *storm = calloc(1, sizeof(*storm));
	const size_t first = bench_number(args[3], 1000000);
	const size_t second = bench_number(args[4], is_flat_out ? IN_FLIGHT_MAX : 86400);

	if (storm == NULL || (is_flat_out ? second : first) == 0)
		bench_fail("connects", "no memory, or none to be made");
	for (size_t i = is_flat_out ? second : IN_FLIGHT_MAX; i > 0; i--) {
		storm->attempt[i - 1].next = storm->free;
		storm->free = &storm->attempt[i - 1];
	}
	storm->port = (uint16_t)bench_number(args[0], UINT16_MAX);
	load_identities(storm, args[1], bench_number(args[2], IDENTITIES_MAX));
	storm->epoll = epoll_create1(0);
	if (storm->identity_count == 0 || storm->epoll < 0)
		bench_fail("connects", "cannot begin");
	if (is_flat_out)
		connects(storm, 0, first);
	else
		connects(storm, first, first * second);
	for (size_t i = 0; i < storm->identity_count; i++)
		SSL_CTX_free(storm->identity[i].ctx);
	(void)close(storm->epoll);
	free(storm);
	return 0;
}

/* --- those who just stand there --- */

static void await_answer(int fd)
{
	struct pollfd polled = {.fd = fd, .events = POLLIN};

	if (poll(&polled, 1, HELLO_WAIT_MS) != 1)
		bench_fail("half a handshake", "the broker does not answer");
}

static void await_connected(int fd)
{
	struct pollfd polled = {.fd = fd, .events = POLLOUT};

	if (poll(&polled, 1, HELLO_WAIT_MS) != 1)
		bench_fail("idle connection", "not accepted");
}

/* The one ClientHello that all of them send. */
static size_t client_hello(uint8_t *out, size_t size)
{
	SSL_CTX *ctx = new_context();
	SSL *ssl = SSL_new(ctx);
	BIO *out_bio = BIO_new(BIO_s_mem());
	BIO *in_bio = BIO_new(BIO_s_mem());
	int len;

	if (ssl == NULL || out_bio == NULL || in_bio == NULL)
		bench_fail("half a handshake", "no memory");
	SSL_set_bio(ssl, in_bio, out_bio);
	SSL_set_connect_state(ssl);
	(void)SSL_do_handshake(ssl);
	len = BIO_read(out_bio, out, (int)size);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	if (len <= 0)
		bench_fail("half a handshake", "no ClientHello");
	return (size_t)len;
}

/* A ClientHello is out, the server's answer is there, and nobody reads it. */
static int half_handshake(uint16_t port, const uint8_t *hello, size_t len)
{
	int fd = connect_tcp(port);

	await_connected(fd);
	if (send(fd, hello, len, MSG_NOSIGNAL) != (ssize_t)len)
		bench_fail("half a handshake", "cut short");
	await_answer(fd);
	return fd;
}

/* Drops what was sent; false: its end has come. */
static bool is_connected(int fd)
{
	uint8_t dropped[4096];
	ssize_t n;

	do {
		n = recv(fd, dropped, sizeof(dropped), 0);
	} while (n > 0);
	return n < 0 && errno == EAGAIN;
}

static size_t connected(const int *fds, size_t count)
{
	size_t live = 0;

	for (size_t i = 0; i < count; i++)
		live += is_connected(fds[i]) ? 1 : 0;
	return live;
}

static int run_stand(char **args)
{
	static int fds[STANDING_MAX];
	const uint16_t port = (uint16_t)bench_number(args[0], UINT16_MAX);
	const size_t idle = bench_number(args[1], STANDING_MAX / 2);
	const size_t half = bench_number(args[2], STANDING_MAX / 2);
	uint8_t hello[4096];
	const size_t hello_len = client_hello(hello, sizeof(hello));

	for (size_t i = 0; i < idle; i++) {
		fds[i] = connect_tcp(port);
		await_connected(fds[i]);
	}
	for (size_t i = 0; i < half; i++)
		fds[idle + i] = half_handshake(port, hello, hello_len);
	puts("ready");
	(void)fflush(stdout);
	while (getchar() != EOF)
		;
	printf("{\"idle\":%zu,\"half\":%zu}\n", connected(fds, idle), connected(fds + idle, half));
	for (size_t i = 0; i < idle + half; i++)
		(void)close(fds[i]);
	return 0;
}

int main(int argc, char **argv)
{
	bench_raise_limits();
	if (argc == 7 && strcmp(argv[1], "connects") == 0)
		return run_connects(argv + 2, false);
	if (argc == 7 && strcmp(argv[1], "flat_out") == 0)
		return run_connects(argv + 2, true);
	if (argc == 5 && strcmp(argv[1], "stand") == 0)
		return run_stand(argv + 2);
	(void)fputs("usage: bench_storm connects PORT IDENTITIES COUNT RATE SECONDS |\n"
		    "  flat_out PORT IDENTITIES COUNT TOTAL AT_A_TIME | stand PORT IDLE HALF\n",
		    stderr);
	return 2;
}
