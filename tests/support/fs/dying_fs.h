/*
 * dying_fs - the kernel's file system under a process that dies at its n-th change.
 *
 * What was done before stays (no power is lost); the n-th changing call is done by half if it is a
 * write, else not at all, and every later call fails.
 */
#ifndef KT_TEST_DYING_FS_H
#define KT_TEST_DYING_FS_H

#include "durable_file.h"

struct dying_fs {
	struct kt_fs table; /* for the code under test */
	unsigned changes;   /* so far */
	unsigned dies_at;   /* 0: never */
	bool is_dead;
};

void dying_fs_init(struct dying_fs *d, unsigned dies_at);

#endif
