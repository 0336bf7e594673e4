/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel structures of files: struct file and what it leads to.
 * Included by common/kernel_sockets.h, common/kernel_tasks.h, common/kernel_waiters.h.
 */
#ifndef SOCKPROXY_KERNEL_FILES_H
#define SOCKPROXY_KERNEL_FILES_H

#include "common/kernel_types.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct super_block {
	unsigned int s_dev;
};

struct inode {
	unsigned short i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
};

typedef struct {
	atomic_long_t refcnt;
} file_ref_t;

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct qstr d_name;
};

struct path {
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
	unsigned int f_flags;
	file_ref_t f_ref;
};

/* Until Linux 6.13. */
struct file___counted {
	atomic_long_t f_count;
};

#pragma clang attribute pop

#endif
