#include "bench_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BUFFER = 1 << 16, POLL_MAX = 8192, ID_MAX = 128, IN_FLIGHT = 64 };

struct bench_client {
	int fd;
	SSL *ssl; /* NULL: a Unix socket */
	uint16_t last_id;
	int64_t read_us; /* when the newest bytes were there */
	int64_t closed_us;
	size_t used; /* of the buffer: handed out by the last take */
	size_t len;
	uint8_t buf[BUFFER];
};

_Noreturn void bench_fail(const char *what, const char *detail)
{
	fprintf(stderr, "bench: %s: %s\n", what, detail);
	exit(1);
}

static int64_t clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

size_t bench_number(const char *text, size_t max)
{
	char *end = NULL;
	const unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || value > max)
		bench_fail(text, "not a number that is known here");
	return value;
}

int64_t bench_mono_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

int64_t bench_wall_us(void)
{
	return clock_us(CLOCK_REALTIME);
}

/* --- transports --- */

static struct bench_client *client_new(int fd)
{
	struct bench_client *client = calloc(1, sizeof(*client));

	if (client == NULL)
		bench_fail("client", "no memory");
	client->fd = fd;
	return client;
}

static void do_not_block(int fd)
{
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
		bench_fail("socket", strerror(errno));
}

/* One for all: certificate and key belong to the connection. */
static SSL_CTX *context(void)
{
	static SSL_CTX *shared;

	if (shared == NULL) {
		shared = SSL_CTX_new(TLS_client_method());
		if (shared == NULL)
			bench_fail("TLS", "no context");
		(void)SSL_CTX_set_mode(shared, SSL_MODE_RELEASE_BUFFERS);
	}
	return shared;
}

static int connect_tcp(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
		bench_fail("connect", strerror(errno));
	return fd;
}

static struct bench_client *tls_new(uint16_t port, const char *identity)
{
	struct bench_client *client = client_new(connect_tcp(port));

	client->ssl = SSL_new(context());
	if (client->ssl == NULL || SSL_use_certificate_chain_file(client->ssl, identity) != 1 ||
	    SSL_use_PrivateKey_file(client->ssl, identity, SSL_FILETYPE_PEM) != 1 ||
	    SSL_set_fd(client->ssl, client->fd) != 1)
		bench_fail(identity, "cannot be used");
	SSL_set_connect_state(client->ssl);
	return client;
}

struct bench_client *bench_tls(uint16_t port, const char *identity)
{
	struct bench_client *client = tls_new(port, identity);

	if (SSL_do_handshake(client->ssl) != 1)
		bench_fail(identity, "no TLS");
	do_not_block(client->fd);
	return client;
}

struct bench_client *bench_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		bench_fail(path, "too long");
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
		bench_fail(path, strerror(errno));
	do_not_block(fd);
	return client_new(fd);
}

static void send_all(struct bench_client *client, const uint8_t *bytes, size_t len)
{
	ssize_t n = client->ssl != NULL ? (ssize_t)SSL_write(client->ssl, bytes, (int)len)
					: send(client->fd, bytes, len, MSG_NOSIGNAL);

	/* all of ours fit into the socket's buffer; what is closed shows by its end */
	if (n >= 0 && (size_t)n != len)
		bench_fail("send", "cut short");
}

/* What is there, into the buffer. */
static void receive(struct bench_client *client)
{
	for (;;) {
		uint8_t *to = client->buf + client->len;
		size_t room = BUFFER - client->len;
		ssize_t n = client->ssl != NULL ? (ssize_t)SSL_read(client->ssl, to, (int)room)
						: recv(client->fd, to, room, 0);

		if (n > 0) {
			client->len += (size_t)n;
			continue;
		}
		if (client->ssl != NULL ? SSL_get_error(client->ssl, (int)n) == SSL_ERROR_WANT_READ
					: n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		ERR_clear_error();
		client->closed_us = client->read_us != 0 ? client->read_us : bench_mono_us();
		return;
	}
}

bool bench_wait(struct bench_client *const *clients, size_t count, int wait_ms)
{
	static struct pollfd polled[POLL_MAX];
	int64_t now;
	int ready;

	if (count > POLL_MAX)
		bench_fail("poll", "too many");
	for (size_t i = 0; i < count; i++)
		polled[i] = (struct pollfd){.fd = clients[i]->closed_us != 0 ? -1 : clients[i]->fd,
					    .events = POLLIN};
	ready = poll(polled, count, wait_ms);
	now = bench_mono_us();
	if (ready <= 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (polled[i].revents == 0)
			continue;
		clients[i]->read_us = now;
		receive(clients[i]);
	}
	return true;
}

int bench_socket(const struct bench_client *client)
{
	return client->fd;
}

int64_t bench_closed_us(const struct bench_client *client)
{
	return client->closed_us;
}

/* --- packets --- */

static void send_connect(struct bench_client *client, const char *client_id)
{
	static const uint8_t head[] = {0, 4, 'M', 'Q', 'T', 'T', 5, 2 /* clean start */, 0, 0, 0};
	uint8_t packet[ID_MAX];
	const size_t id_len = strlen(client_id);
	const size_t len = sizeof(head) + 2 + id_len;

	if (len > 127 || len + 2 > sizeof(packet))
		bench_fail(client_id, "too long");
	packet[0] = 0x10;
	packet[1] = (uint8_t)len;
	memcpy(packet + 2, head, sizeof(head));
	packet[2 + sizeof(head)] = 0;
	packet[3 + sizeof(head)] = (uint8_t)id_len;
	memcpy(packet + 4 + sizeof(head), client_id, id_len);
	send_all(client, packet, len + 2);
}

void bench_connect(struct bench_client *client, const char *client_id)
{
	struct bench_packet answer;

	send_connect(client, client_id);
	bench_expect(client, BENCH_CONNACK, &answer);
	if (answer.reason != 0)
		bench_fail(client_id, "not let in");
}

int64_t bench_publish(struct bench_client *client, const char *topic, const char *payload,
		      size_t len)
{
	const size_t topic_len = strlen(topic);
	size_t left = 2 + topic_len + 2 + 1 + len;
	uint8_t *packet = malloc(left + 5);
	uint8_t *p = packet;
	int64_t before;

	if (packet == NULL)
		bench_fail("publish", "no memory");
	*p++ = 0x32;
	do {
		*p = left & 127;
		left >>= 7;
		if (left > 0)
			*p |= 128;
		p++;
	} while (left > 0);
	client->last_id = client->last_id == UINT16_MAX ? 1 : (uint16_t)(client->last_id + 1);
	*p++ = (uint8_t)(topic_len >> 8);
	*p++ = (uint8_t)topic_len;
	memcpy(p, topic, topic_len);
	p += topic_len;
	*p++ = (uint8_t)(client->last_id >> 8);
	*p++ = (uint8_t)client->last_id;
	*p++ = 0; /* no properties */
	memcpy(p, payload, len);
	p += len;
	before = bench_mono_us();
	send_all(client, packet, (size_t)(p - packet));
	free(packet);
	return before;
}

void bench_subscribe(struct bench_client *client, const char *filter)
{
	const size_t filter_len = strlen(filter);
	uint8_t packet[ID_MAX];
	const size_t len = 2 + 1 + 2 + filter_len + 1;

	if (len > 127 || len + 2 > sizeof(packet))
		bench_fail(filter, "too long");
	packet[0] = 0x82;
	packet[1] = (uint8_t)len;
	packet[2] = 0;
	packet[3] = 1;
	packet[4] = 0; /* no properties */
	packet[5] = 0;
	packet[6] = (uint8_t)filter_len;
	memcpy(packet + 7, filter, filter_len);
	packet[7 + filter_len] = 0;
	send_all(client, packet, len + 2);
}

static void acknowledge(struct bench_client *client, const uint8_t *id)
{
	const uint8_t packet[] = {0x40, 2, id[0], id[1]};

	send_all(client, packet, sizeof(packet));
}

/* Length of the fixed header and of what follows; false: not all of it is there yet. */
static bool measure(const struct bench_client *client, size_t *head, size_t *body)
{
	*body = 0;
	for (*head = 1; *head < client->len && *head < 5; (*head)++) {
		*body |= (size_t)(client->buf[*head] & 127) << (7 * (*head - 1));
		if (client->buf[*head] < 128) {
			(*head)++;
			return client->len >= *head + *body;
		}
	}
	return false;
}

static void open_publish(struct bench_client *client, uint8_t first, const uint8_t *body,
			 size_t len, struct bench_packet *out)
{
	const size_t topic_len = (size_t)body[0] << 8 | body[1];
	size_t at = 2 + topic_len;

	out->topic = (const char *)body + 2;
	out->topic_len = topic_len;
	if ((first & 6) != 0) {
		acknowledge(client, body + at);
		at += 2;
	}
	at += 1 + (size_t)body[at]; /* properties: fewer than 128 bytes of them */
	out->payload = body + at;
	out->payload_len = len - at;
}

bool bench_take(struct bench_client *client, struct bench_packet *out)
{
	size_t head;
	size_t body;
	uint8_t first;

	memset(out, 0, sizeof(*out));
	memmove(client->buf, client->buf + client->used, client->len - client->used);
	client->len -= client->used;
	client->used = 0;
	if (!measure(client, &head, &body))
		return false;
	first = client->buf[0];
	client->used = head + body;
	out->kind = first >> 4;
	out->at_us = client->read_us;
	if (out->kind == BENCH_PUBLISH)
		open_publish(client, first, client->buf + head, body, out);
	else if (out->kind == BENCH_CONNACK)
		out->reason = client->buf[head + 1];
	else if (out->kind == BENCH_PUBACK)
		out->reason = body > 2 ? client->buf[head + 2] : 0;
	return true;
}

void bench_expect(struct bench_client *client, int kind, struct bench_packet *out)
{
	const int64_t end_us = bench_mono_us() + (int64_t)BENCH_PATIENCE_MS * 1000;

	for (;;) {
		while (bench_take(client, out)) {
			if (out->kind == kind)
				return;
		}
		if (client->closed_us != 0)
			bench_fail("expect", "the broker has closed the connection");
		if (bench_mono_us() >= end_us)
			bench_fail("expect", "it does not come");
		(void)bench_wait(&client, 1, BENCH_PATIENCE_MS);
	}
}

int64_t bench_await_end(struct bench_client *client)
{
	const int64_t end_us = bench_mono_us() + (int64_t)BENCH_PATIENCE_MS * 1000;
	struct bench_packet packet;

	while (client->closed_us == 0) {
		while (bench_take(client, &packet))
			;
		if (bench_mono_us() >= end_us)
			bench_fail("await end", "it is not closed");
		(void)bench_wait(&client, 1, BENCH_PATIENCE_MS);
	}
	return client->closed_us;
}

void bench_client_free(struct bench_client *client)
{
	if (client == NULL)
		return;
	SSL_free(client->ssl);
	(void)close(client->fd);
	free(client);
}

void bench_leave_open(struct bench_client *client)
{
	if (client->ssl != NULL)
		(void)BIO_set_close(SSL_get_rbio(client->ssl), BIO_NOCLOSE);
	SSL_free(client->ssl);
	free(client);
}

void bench_raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		bench_fail("descriptors", strerror(errno));
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		bench_fail("descriptors", strerror(errno));
}

/* --- many --- */

struct slot { /* a session on its way in */
	struct bench_client *client;
	size_t i;
	char id[64];
	bool has_tls;
};

static void begin(struct slot *slot, uint16_t port, const char *dir, size_t i)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%zu.pem", dir, i);
	snprintf(slot->id, sizeof(slot->id), "bench-%zu", i);
	slot->i = i;
	slot->client = tls_new(port, path);
	slot->has_tls = false;
	do_not_block(slot->client->fd);
}

/* As far as it goes; true: it is in. */
static bool is_in(struct slot *slot)
{
	struct bench_client *client = slot->client;
	struct bench_packet packet;
	int rc;

	if (!slot->has_tls) {
		rc = SSL_do_handshake(client->ssl);
		if (rc != 1 && SSL_get_error(client->ssl, rc) != SSL_ERROR_WANT_READ)
			bench_fail(slot->id, "no TLS");
		if (rc != 1)
			return false;
		slot->has_tls = true;
		send_connect(client, slot->id);
	}
	receive(client);
	if (!bench_take(client, &packet)) {
		if (client->closed_us != 0)
			bench_fail(slot->id, "the broker has closed the connection");
		return false;
	}
	if (packet.kind != BENCH_CONNACK || packet.reason != 0)
		bench_fail(slot->id, "not let in");
	return true;
}

static void await_any(const struct slot *slots, size_t count)
{
	struct pollfd polled[IN_FLIGHT];

	for (size_t i = 0; i < count; i++)
		polled[i] = (struct pollfd){.fd = slots[i].client->fd, .events = POLLIN};
	if (poll(polled, count, BENCH_PATIENCE_MS) <= 0)
		bench_fail("sessions", "the broker says nothing");
}

void bench_hold(uint16_t port, const char *dir, size_t first, size_t count,
		struct bench_client **out)
{
	struct slot slots[IN_FLIGHT];
	size_t begun = 0;
	size_t under_way = 0;

	while (begun < count || under_way > 0) {
		while (begun < count && under_way < IN_FLIGHT)
			begin(&slots[under_way++], port, dir, first + begun++);
		for (size_t i = 0; i < under_way;) {
			if (!is_in(&slots[i])) {
				i++;
				continue;
			}
			if (out != NULL)
				out[slots[i].i - first] = slots[i].client;
			else
				bench_leave_open(slots[i].client);
			slots[i] = slots[--under_way];
		}
		if (under_way > 0)
			await_any(slots, under_way);
	}
}

/* --- figures --- */

void bench_note(struct bench_figure *figure, int64_t us)
{
	if (figure->count == figure->room) {
		figure->room = figure->room == 0 ? 1024 : figure->room * 2;
		figure->us = realloc(figure->us, figure->room * sizeof(*figure->us));
		if (figure->us == NULL)
			bench_fail(figure->name, "no memory");
	}
	figure->us[figure->count++] = us;
}

static int by_value(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a;
	const int64_t y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* The smallest value that @percent of all do not exceed. */
static int64_t percentile(const struct bench_figure *figure, size_t percent)
{
	size_t rank = (figure->count * percent + 99) / 100;

	return figure->us[rank == 0 ? 0 : rank - 1];
}

void bench_print(struct bench_figure *figure)
{
	if (figure->count == 0)
		bench_fail(figure->name, "nothing was measured");
	qsort(figure->us, figure->count, sizeof(*figure->us), by_value);
	printf("%s %zu %lld %lld %lld\n", figure->name, figure->count,
	       (long long)percentile(figure, 50), (long long)percentile(figure, 99),
	       (long long)figure->us[figure->count - 1]);
	(void)fflush(stdout);
	free(figure->us);
	figure->us = NULL;
	figure->count = 0;
	figure->room = 0;
}
