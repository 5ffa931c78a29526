/*
 * bench_connect - connects to a broker on 127.0.0.1, one at a time, each with a device's
 * certificate.
 *
 *   bench_connect PORT IDENTITY_DIR DEVICES CONNECTS
 *
 * TCP, TLS 1.3 full handshake, MQTT 3.1.1 CONNECT as bench-<i>, CONNACK, DISCONNECT, wait for the
 * end: so all of the broker's work for a connection is done when the next one starts. Exit 1 unless
 * every CONNACK says yes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DEVICES_MAX = 1000, CONNECTS_MAX = 100000, CONNACK_LEN = 4 };

static SSL_CTX *context_of(const char *dir, size_t device)
{
	char path[512];
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	snprintf(path, sizeof(path), "%s/%zu.pem", dir, device);
	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_use_certificate_chain_file(ctx, path) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM) != 1) {
		fprintf(stderr, "bench_connect: cannot use %s\n", path);
		exit(1);
	}
	return ctx;
}

static int connect_tcp(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		perror("bench_connect: connect");
		exit(1);
	}
	return fd;
}

static size_t make_connect(size_t device, uint8_t *out, size_t cap)
{
	static const uint8_t head[] = {0, 4, 'M', 'Q', 'T', 'T', 4, 2 /* clean */, 0, 60};
	char id[32];
	size_t id_len = (size_t)snprintf(id, sizeof(id), "bench-%zu", device);
	size_t len = 2 + sizeof(head) + 2 + id_len;

	if (len > cap || len > 127)
		exit(1);
	out[0] = 0x10;
	out[1] = (uint8_t)(len - 2);
	memcpy(out + 2, head, sizeof(head));
	out[2 + sizeof(head)] = 0;
	out[3 + sizeof(head)] = (uint8_t)id_len;
	memcpy(out + 4 + sizeof(head), id, id_len);
	return len;
}

static int is_accepted(SSL_CTX *ctx, uint16_t port, size_t device)
{
	static const uint8_t disconnect[] = {0xe0, 0};
	uint8_t buf[256];
	size_t len = make_connect(device, buf, sizeof(buf));
	int fd = connect_tcp(port);
	SSL *ssl = SSL_new(ctx);
	int accepted = 0;

	if (ssl != NULL && SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1 &&
	    SSL_write(ssl, buf, (int)len) == (int)len &&
	    SSL_read(ssl, buf, sizeof(buf)) == CONNACK_LEN && buf[0] == 0x20 && buf[3] == 0) {
		accepted =
			SSL_write(ssl, disconnect, sizeof(disconnect)) == (int)sizeof(disconnect);
		while (SSL_read(ssl, buf, sizeof(buf)) > 0)
			;
	}
	SSL_free(ssl);
	(void)close(fd);
	return accepted;
}

int main(int argc, char **argv)
{
	static SSL_CTX *contexts[DEVICES_MAX];
	unsigned long port = 0;
	size_t device_count = 0;
	size_t connect_count = 0;
	size_t accepted = 0;

	if (argc != 5)
		return 2;
	port = strtoul(argv[1], NULL, 10);
	device_count = strtoul(argv[3], NULL, 10);
	connect_count = strtoul(argv[4], NULL, 10);
	if (port == 0 || port > UINT16_MAX || device_count == 0 || device_count > DEVICES_MAX ||
	    connect_count > CONNECTS_MAX)
		return 2;
	for (size_t i = 0; i < device_count; i++)
		contexts[i] = context_of(argv[2], i);
	for (size_t i = 0; i < connect_count; i++)
		accepted += (size_t)is_accepted(contexts[i % device_count], (uint16_t)port,
						i % device_count);
	for (size_t i = 0; i < device_count; i++)
		SSL_CTX_free(contexts[i]);
	printf("%zu of %zu connects accepted\n", accepted, connect_count);
	return accepted == connect_count ? 0 : 1;
}
