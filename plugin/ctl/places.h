/*
 * places - where this machine's broker keeps its registry: for commands that ask no broker.
 */
#ifndef KT_CTL_PLACES_H
#define KT_CTL_PLACES_H

#include "config.h"
#include "ctl.h"

#define KT_CTL_CONFIG "/etc/keyturn/keyturn.conf"

/* The plugin's configuration, --config or the usual one; NULL and a line on stderr. Owned. */
struct kt_config *kt_ctl_config(const struct kt_ctl *ctl);
/* --ledger-dir, else what the configuration says; false and a line on stderr. */
bool kt_ctl_ledger_dir(const struct kt_ctl *ctl, char out[static KT_PATH_MAX]);
/* "2026-11-22T12:00:00Z"; "-" for 0. */
void kt_ctl_show_time(int64_t time_us, char out[static 48]);
/* 64 hex digits; "" never. */
void kt_ctl_show_head(const uint8_t head[static 32], char out[static 65]);

#endif
