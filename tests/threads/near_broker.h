/*
 * near_broker - the plugin without Mosquitto: the real setup (registry, store with its writer,
 * workers, waker) and the real core, on the loop of the process, with clients that are function
 * calls.
 *
 * What plugin_mosquitto.c does for the broker, this does for the harness; it knows what Mosquitto
 * does to clients: a client id that comes again ends the one that had it, a kick is carried out
 * after the core's call. One thread, as the broker's. What cannot go on ends the process
 * (fleet_fail).
 */
#ifndef NEAR_BROKER_H
#define NEAR_BROKER_H

#include "access.h"
#include "types.h"

enum { BROKER_CLIENT_ID_MAX = 160 };

struct broker;

struct broker_client { /* lies in who is connected; zeroed but for the first three */
	void *ctx;
	void (*message)(void *ctx, struct kt_bytes payload);
	void (*ended)(void *ctx, bool was_kicked); /* not for one that leaves by itself */
	/* private */
	char client_id[BROKER_CLIENT_ID_MAX];
	char username[KT_ACTOR_MAX + 1];
	uintptr_t number;
	struct broker_client *next;
};

/* @conf, @mosquitto_conf: paths, borrowed for the life of the broker. Starts the plugin. */
struct broker *broker_new(const char *conf, const char *mosquitto_conf);
void broker_free(struct broker *broker);
/* The plugin ends and starts again over what is on disk; every client is thrown out. */
void broker_restart(struct broker *broker);
/* SIGHUP. */
void broker_reload(struct broker *broker);
/* Once a turn of the loop. */
void broker_tick(struct broker *broker);

/* @cert: DER, or empty. What the core said; the client is there on ACCEPT alone. */
enum kt_answer broker_connect(struct broker *broker, struct broker_client *client,
			      const char *client_id, const char *address, struct kt_bytes cert);
bool broker_may_subscribe(struct broker *broker, const struct broker_client *client,
			  const char *topic);
/* As the broker does: the core is asked first whether it may. */
void broker_publish(struct broker *broker, const struct broker_client *client, const char *topic,
		    struct kt_bytes payload);
void broker_disconnect(struct broker *broker, struct broker_client *client);

/* How many lines of the plugin's log had "event=<@event>" so far. */
unsigned broker_events(const struct broker *broker, const char *event);

#endif
