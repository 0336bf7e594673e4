/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Executables that are known to read until EAGAIN before they wait, by what they are.
 * Included by bypass/reader.h.
 *
 * Go: internal/poll tries read(2) before it waits, whatever the read before gave, so that a short
 * read never makes it wait. The linker marks what it makes with a note, in pages that the kernel
 * has mapped to start the program; AT_PHDR of the auxiliary vector leads there. Other kinds, and
 * why, are in sockproxy/bypass/drainers.py.
 */
#ifndef SOCKPROXY_EXECUTABLE_H
#define SOCKPROXY_EXECUTABLE_H

#include "bypass/maps.h"
#include "common/kernel_tasks.h"

#include <linux/auxvec.h>
#include <linux/bpf.h>
#include <linux/elf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define MOST_AUXILIARY 24
#define MOST_HEADERS 16
#define MOST_NOTES 4
#define GO_NAME 0x00006f47 /* "Go" */
#define GO_BUILD_ID 4

/* Where the program headers lie in the current process, and how many. */
static __always_inline __u64 program_headers(__u64 *count)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	unsigned long pair[2];
	__u64 at = 0;
	int number;

	*count = 0;
	for (number = 0; mm && number < MOST_AUXILIARY; number++) {
		if (bpf_core_read(&pair, sizeof(pair), &mm->saved_auxv[2 * number]) ||
		    pair[0] == AT_NULL)
			break;
		if (pair[0] == AT_PHDR)
			at = pair[1];
		if (pair[0] == AT_PHNUM)
			*count = pair[1];
	}
	return at;
}

/* Whether there is a note of Go's linker in this segment; -1 when it could not be read. Not inlined
 * and global, like all with loops that are called from loops, so that the verifier looks at it
 * once.
 */
__attribute__((noinline)) int is_note_of_go(__u64 at, __u64 size)
{
	Elf64_Nhdr note;
	__u32 name, number;
	__u64 step;

	for (number = 0; number < MOST_NOTES && size > sizeof(note) + sizeof(name); number++) {
		if (bpf_probe_read_user(&note, sizeof(note), (void *)at) ||
		    bpf_probe_read_user(&name, sizeof(name), (void *)at + sizeof(note)))
			return -1;
		if (note.n_type == GO_BUILD_ID && note.n_namesz == sizeof(name) && name == GO_NAME)
			return 1;
		step = sizeof(note) + ((note.n_namesz + 3ULL) & ~3ULL) +
		       ((note.n_descsz + 3ULL) & ~3ULL);
		if (step >= size)
			break;
		at += step;
		size -= step;
	}
	return 0;
}

/* Whether Go's linker made the current program; -1 when its headers could not be read. */
__attribute__((noinline)) int is_go(void)
{
	__u64 count, bias = 0, at = program_headers(&count);
	int number, is_placed = 0, found = 0;
	Elf64_Phdr header;

	if (!at)
		return -1;
	for (number = 0; number < MOST_HEADERS && number < count && !found; number++) {
		if (bpf_probe_read_user(&header, sizeof(header),
					(void *)at + number * sizeof(header)))
			return -1;
		/* PT_PHDR comes first, and tells where the program was placed. */
		if (header.p_type == PT_PHDR) {
			bias = at - header.p_vaddr;
			is_placed = 1;
		}
		if (header.p_type == PT_NOTE && is_placed)
			found = is_note_of_go(header.p_vaddr + bias, header.p_memsz);
	}
	return found;
}

/* Whether the current program, whose executable is `name`, is known to read until EAGAIN. */
static __always_inline int is_drainer(const struct program *name)
{
	__u32 *known = bpf_map_lookup_elem(&drains, name);
	__u32 kind = DRAINS_NOT;
	int go;

	if (known)
		return *known != DRAINS_NOT;
	go = is_go();
	if (go < 0)
		return 0; /* the headers are not in memory: examined again at its next socket */
	kind = go ? DRAINS_GO : DRAINS_NOT;
	bpf_map_update_elem(&drains, name, &kind, BPF_NOEXIST);
	return go;
}

#endif
