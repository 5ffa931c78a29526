/*
 * confirm - a person says once more what cannot be undone, or how many are meant.
 *
 * Asks on the terminal; --yes is the answer beforehand, and where nobody can be asked it has to be
 * given.
 */
#ifndef KT_CTL_CONFIRM_H
#define KT_CTL_CONFIRM_H

#include "ctl.h"

/* The devices on the command line. OK, or USAGE: not confirmed, nothing was sent. */
enum kt_ctl_exit kt_ctl_confirm(const struct kt_ctl *ctl, const char *what);
/* All active devices, which are counted: *count is what the plugin is to expect. */
enum kt_ctl_exit kt_ctl_confirm_all(struct kt_ctl *ctl, int64_t *count);

#endif
