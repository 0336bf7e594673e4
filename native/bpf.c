// SPDX-License-Identifier: GPL-2.0-only
#include "bpf.h"

#include "system.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int bpf(enum bpf_cmd command, union bpf_attr *attr)
{
	int result = RETRY((int)syscall(SYS_bpf, command, attr, sizeof(*attr)));

	return result < 0 ? -errno : result;
}

int on_element(enum bpf_cmd command, int map, const void *key, const void *value, uint64_t flags)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (uint32_t)map;
	attr.key = (uintptr_t)key;
	attr.value = (uintptr_t)value;
	attr.flags = flags;
	return bpf(command, &attr);
}

int run_program(int program, void *packet, uint32_t size)
{
	union bpf_attr attr;
	int failed;

	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = (uint32_t)program;
	attr.test.data_in = attr.test.data_out = (uintptr_t)packet;
	attr.test.data_size_in = attr.test.data_size_out = size;
	attr.test.repeat = 1;
	failed = bpf(BPF_PROG_TEST_RUN, &attr);
	return failed ? failed : (int)attr.test.retval;
}
