/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Preloaded into a program: its bpf(2) refuses to load what a kernel of another build would. All of
 * libbpf's calls go through syscall(3). By the environment:
 *
 *   REFUSED_PROGRAMS  names with blanks between, of at most 15 characters as the kernel has them
 *   REFUSED_KINDS     "PROG_TYPE:ATTACH_TYPE:BTF_ID ...", numbers, or * for any: EPERM
 *   REFUSED_HELPERS   numbers of helpers: EINVAL, with the words of the verifier
 *   REFUSED_COMMANDS  numbers of commands of bpf(2): EPERM
 *   REFUSED_ERRNO     another number than EPERM for the first two and the last
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

static int has_word(const char *list, const char *word)
{
	size_t length = strlen(word);
	const char *at = list;

	while (length && list && (at = strstr(at, word))) {
		if ((at == list || at[-1] == ' ') && (!at[length] || at[length] == ' '))
			return 1;
		at += length;
	}
	return 0;
}

static int has_number(const char *list, long number)
{
	char word[24];

	snprintf(word, sizeof(word), "%ld", number);
	return has_word(list, word);
}

static int fits(const char *pattern, long number)
{
	return *pattern == '*' || strtol(pattern, NULL, 10) == number;
}

static int is_of_kind(const char *list, const union bpf_attr *attr)
{
	char kind[3][16];
	int length;

	while (list && sscanf(list, " %15[^: ]:%15[^: ]:%15[^: ]%n", kind[0], kind[1], kind[2],
			      &length) == 3) {
		if (fits(kind[0], attr->prog_type) && fits(kind[1], attr->expected_attach_type) &&
		    fits(kind[2], attr->attach_btf_id))
			return 1;
		list += length;
	}
	return 0;
}

static int calls_refused_helper(const union bpf_attr *attr)
{
	const struct bpf_insn *code = (const void *)(unsigned long)attr->insns;
	const char *list = getenv("REFUSED_HELPERS");
	unsigned int at;

	for (at = 0; list && at < attr->insn_cnt; at++) {
		if (code[at].code != (BPF_JMP | BPF_CALL) || code[at].src_reg ||
		    !has_number(list, code[at].imm))
			continue;
		if (attr->log_buf && attr->log_size)
			snprintf((char *)(unsigned long)attr->log_buf, attr->log_size,
				 "%u: (85) call #%d\nprogram of this type cannot use helper #%d\n",
				 at, code[at].imm, code[at].imm);
		return 1;
	}
	return 0;
}

static int why_refused(long command, const union bpf_attr *attr)
{
	const char *other = getenv("REFUSED_ERRNO");
	int number = other ? atoi(other) : EPERM;

	if (has_number(getenv("REFUSED_COMMANDS"), command))
		return number;
	if (command != BPF_PROG_LOAD)
		return 0;
	if (has_word(getenv("REFUSED_PROGRAMS"), attr->prog_name) ||
	    is_of_kind(getenv("REFUSED_KINDS"), attr))
		return number;
	return calls_refused_helper(attr) ? EINVAL : 0;
}

long syscall(long number, ...)
{
	static long (*real)(long, ...);
	long argument[6];
	va_list list;
	int each, why;

	va_start(list, number);
	for (each = 0; each < 6; each++)
		argument[each] = va_arg(list, long);
	va_end(list);
	if (!real)
		real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	if (number == __NR_bpf && (why = why_refused(argument[0], (void *)argument[1]))) {
		errno = why;
		return -1;
	}
	return real(number, argument[0], argument[1], argument[2], argument[3], argument[4],
		    argument[5]);
}
