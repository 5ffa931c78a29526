/*
 * fleet_stats - what a process of the fleet has measured: samples of time, and counts by name.
 *
 * Samples are kept whole, so that percentiles over several processes are exact: eight bytes each.
 * Does not judge. One thread.
 */
#ifndef FLEET_STATS_H
#define FLEET_STATS_H

#include <stdint.h>
#include <stdio.h>

enum fleet_span {
	FLEET_SPAN_CONNECT, /* connect(2) to CONNACK */
	FLEET_SPAN_SESSION, /* connect(2) of the first :agent to `welcome` */
	FLEET_SPAN_ENROL,   /* the hub's start to `committed` */
	FLEET_SPAN_COMMIT,  /* `rotate` came to `committed` came */
	FLEET_SPAN_PROMOTE, /* `rotate` came to `noted` of its `promoted` came */
	FLEET_SPAN_BACK,    /* the network went away to: settled again */
	FLEET_SPAN_COUNT
};

struct fleet_stats;

struct fleet_stats *fleet_stats_new(void);
void fleet_stats_free(struct fleet_stats *stats);
void fleet_stats_span(struct fleet_stats *stats, enum fleet_span span, int64_t from_us,
		      int64_t to_us);
/* @name: of [a-z0-9_.]; a handful of them. */
void fleet_stats_count(struct fleet_stats *stats, const char *name);
/*
 * Members of a JSON object, without the braces: "spans":{"connect":{"first_us":N,"last_us":N,
 * "us":[...]},...},"counts":{...}. first_us: when the first began; last_us: when the last ended.
 */
void fleet_stats_write(const struct fleet_stats *stats, FILE *out);

#endif
