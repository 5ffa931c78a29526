/*
 * bad_fs - the real file system, but for two files that cannot be read.
 *
 * As a medium does that has lost them: each read of a file whose path ends so fails.
 */
#ifndef KT_TEST_BAD_FS_H
#define KT_TEST_BAD_FS_H

#include "durable_file.h"

struct bad_fs {
	struct kt_fs table;
	const char *end[2]; /* of their paths; NULL: none */
	int fd[2];
	int error;	/* errno of the reads */
	bool no_rename; /* with EIO */
};

/* @fs does not move afterwards. */
void bad_fs_init(struct bad_fs *fs, const char *first, const char *second, int error);

#endif
