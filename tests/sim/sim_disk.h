/*
 * sim_disk - one machine's disk: a fake_fs behind a table that can fail a call or be the last one.
 *
 * Every call of the table is a port call of its machine: @gate is asked first and says whether the
 * call runs, fails, or the power goes in it. SQLite reaches the same disk through a VFS (default of
 * the process); which disk that is, is said before SQLite is called.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "durable_file.h"
#include "fake_fs.h"

struct sim_disk {
	struct kt_fs table;
	struct fake_fs *fs; /* owned */
	/* 0: the call runs; else the errno it fails with. */
	int (*gate)(void *ctx, const char *call);
	void *gate_ctx;
	bool is_off; /* its process is gone: what closes files now reaches nothing */
};

/* @disk does not move afterwards. */
void sim_disk_init(struct sim_disk *disk, int (*gate)(void *ctx, const char *call), void *ctx);
/* Another file system (moved) takes the place of the present one. */
void sim_disk_replace(struct sim_disk *disk, struct fake_fs *fs);
void sim_disk_clear(struct sim_disk *disk);

/* Once in a process. */
void sim_vfs_register(void);
/* Before each run. */
void sim_vfs_begin(uint64_t seed);
/* Where SQLite's files are from here on. */
void sim_vfs_use(struct sim_disk *disk);

#endif
