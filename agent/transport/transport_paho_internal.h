/*
 * transport_paho_internal - what the two halves of the transport share. For transport_paho*.c only.
 *
 * transport_paho.c: the links' threads and every call of Paho. transport_paho_port.c: the queues
 * between them and the main thread, and the port.
 */
#ifndef KT_TRANSPORT_PAHO_INTERNAL_H
#define KT_TRANSPORT_PAHO_INTERNAL_H

#include "topic.h"
#include "transport_paho.h"

#include <pthread.h>

enum {
	KT_PAHO_SENDS_MAX = 12, /* messages that wait; what opens and closes has room beside them */
	KT_PAHO_COMMANDS_MAX = 16,
	KT_PAHO_MESSAGES_MAX = 64, /* of the broker, that wait for the main thread */
	KT_PAHO_PARTED_MAX = 16
};

enum kt_paho_command_kind { KT_PAHO_OPEN, KT_PAHO_SEND, KT_PAHO_CLOSE, KT_PAHO_GONE, KT_PAHO_QUIT };

struct kt_paho_command {
	enum kt_paho_command_kind kind;
	uint64_t connection; /* SEND, GONE: of which connection it speaks */
	int code;	     /* GONE */
	char *text;	     /* SEND: owned */
	size_t len;
};

struct kt_paho_link;

/*
 * One connection. Paho's callbacks get it: what they say of an older one may come when the link has
 * its next.
 */
struct kt_paho_client {
	struct kt_paho_link *link;
	uint64_t connection;
	void *handle; /* Paho's; NULL: not created */
};

struct kt_paho_link {
	struct kt_paho *paho;
	enum kt_link name;
	pthread_t thread;
	bool has_thread;
	pthread_cond_t wake;
	struct kt_paho_command queue[KT_PAHO_COMMANDS_MAX]; /* under paho->lock, as all below up to
							       the marker */
	size_t queue_len;
	int64_t busy_since_ms; /* mono: it has been at one command, or has one to begin; 0: idle */
	uint64_t connection;
	char client_id[KT_CLIENT_ID_MAX];
	char identity_pem[1024];
	char topic[KT_TOPIC_MAX];
	struct kt_trust trust;
	/* --- the link's thread alone --- */
	struct kt_paho_client *client; /* owned; NULL: none */
	struct kt_tls_watch watch;
};

/* One that is over, but which Paho's own threads may still be using. */
struct kt_paho_parted {
	struct kt_paho_client *client; /* owned */
	unsigned connects;	       /* that succeeded since */
};

struct kt_paho_event {
	struct kt_link_event event;
	struct kt_paho_event *next;
};

struct kt_paho {
	struct kt_paho_config config;
	struct kt_transport port;
	struct kt_trust trust;
	pthread_mutex_t lock;
	/*
	 * One thread at a time connects or disconnects: with its last connection Paho ends the
	 * thread that serves all of them, and a connect that begins in that moment waits for it
	 * until the time-out.
	 */
	pthread_mutex_t door;
	struct kt_paho_parted parted[KT_PAHO_PARTED_MAX]; /* under the door */
	size_t parted_count;
	struct kt_paho_link link[KT_LINK_COUNT];
	struct kt_paho_event *first;
	struct kt_paho_event **last;
	size_t messages;  /* among them */
	bool is_quitting; /* under the lock */
	int event_fd;
	uint64_t connections;
	int64_t floor_s;
	bool clock_ahead;
};

/*
 * Takes @event over; out of memory loses a message, as the network may. So does one that finds
 * KT_PAHO_MESSAGES_MAX others: a broker that floods must not eat the hub's memory, and what an
 * honest one sent is asked for again. Any thread.
 */
void kt_paho_push_event(struct kt_paho *paho, struct kt_link_event *event);
/* Under the lock. KT_ERR_BUSY: the queue is full; the text stays the caller's. */
enum kt_err kt_paho_push_command(struct kt_paho_link *link, const struct kt_paho_command *command);
/* Waits for one; its text is the caller's: kt_paho_free_text. */
struct kt_paho_command kt_paho_wait_command(struct kt_paho_link *link);
void kt_paho_free_text(struct kt_paho_command *command);
/* A link's thread: carries commands out until KT_PAHO_QUIT. */
void *kt_paho_run_link(void *arg);

#endif
