/*
 * plugin_mosquitto - the broker's API for all versions that one binary serves, 2.0.11 to 2.1.
 *
 * For plugin_mosquitto*.c alone, the only files that know Mosquitto. Hard references only to the 34
 * functions that every 2.0 exports (its linker.syms); what came with 2.1 is weak.
 */
#ifndef KT_PLUGIN_MOSQUITTO_H
#define KT_PLUGIN_MOSQUITTO_H

#include <stdint.h>

#if defined(__has_include)
#if __has_include(<mosquitto/broker.h>)
#define KT_HEADERS_2_1 1
#endif
#endif
#ifdef KT_HEADERS_2_1
#include <mosquitto.h>
#else
#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#endif

#include "core.h"
#include "setup.h"

/*
 * Numbers that differ between the two headers or are missing in the older one. A broker of 2.0 does
 * not know the three CONNACK codes and closes without one, so they are for 2.1 only.
 */
enum {
	KT_MOSQ_EVT_CONNECT = 11,	 /* 2.1: a client has its CONNACK */
	KT_MOSQ_EVT_CLIENT_OFFLINE = 28, /* 2.1: a persistent session lost its connection */
	KT_CONNACK_BAD_ID = 133,
	KT_CONNACK_BUSY = 137,
	KT_CONNACK_BANNED = 138
};

/* 2.1's struct mosquitto_evt_connect. */
struct kt_mosq_evt_connect {
	void *future;
	struct mosquitto *client;
};

/* 2.1 only; NULL in a 2.0 broker, which is how we tell them apart. */
extern int mosquitto_plugin_set_info(mosquitto_plugin_id_t *identifier, const char *plugin_name,
				     const char *plugin_version) __attribute__((weak));

struct kt_plugin {
	mosquitto_plugin_id_t *identifier;
	struct kt_log log;
	struct kt_setup *setup;
	struct kt_core *core;
	struct kt_broker broker;
	struct kt_ports ports;
	struct kick *kicks; /* ordered, not yet carried out; oldest first */
	struct kick **kicks_end;
	bool is_2_1;
	bool has_published; /* in the present tick */
	uint64_t durable_seq;
	bool journal_failed;
};

/* NULL: out of memory. */
struct kt_plugin *kt_plugin_new(mosquitto_plugin_id_t *identifier);
/* The callbacks must be gone. NULL is fine. */
void kt_plugin_free(struct kt_plugin *plugin);
/* All events or none. */
bool kt_plugin_register(struct kt_plugin *plugin);
void kt_plugin_unregister(struct kt_plugin *plugin);
struct kt_now kt_plugin_now(struct kt_plugin *plugin);

#endif
