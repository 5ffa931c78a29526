/*
 * confirm - a person says once more what cannot be undone, or how many are meant.
 *
 * Asks on the terminal; --yes is the answer beforehand, and where nobody can be asked it has to be
 * given.
 */
#ifndef KT_CTL_CONFIRM_H
#define KT_CTL_CONFIRM_H

#include "batch.h"

/* The devices on the command line. OK, or USAGE: not confirmed, nothing was sent. */
enum kt_ctl_exit kt_ctl_confirm(const struct kt_ctl *ctl, const char *what);
/*
 * What --all or a selector means, which is counted if order->expect does not say it already: then
 * that is what the plugin is to expect.
 */
enum kt_ctl_exit kt_ctl_confirm_count(struct kt_ctl *ctl, struct kt_ctl_order *order);

#endif
