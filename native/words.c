// SPDX-License-Identifier: GPL-2.0-only
#include "words.h"

#include "system.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 256

/* Its text is where phases can keep a state in the lowest bits of its address. */
struct word {
	struct word *next;
	_Alignas(16) char text[];
};

static const struct {
	_Alignas(16) char text[16];
} NO_MEMORY = {"out of memory"};

static const char *keep(struct worker *worker, const char *text)
{
	struct word *word;
	size_t size;

	for (word = worker->words; word; word = word->next)
		if (!strcmp(word->text, text))
			return word->text;
	size = strlen(text) + 1;
	word = sys.realloc(NULL, sizeof(*word) + size);
	if (!word)
		return NO_MEMORY.text;
	memcpy(word->text, text, size);
	word->next = worker->words;
	worker->words = word;
	return word->text;
}

const char *words(struct worker *worker, const char *format, ...)
{
	char text[LONGEST];
	va_list values;

	va_start(values, format);
	vsnprintf(text, sizeof(text), format, values);
	va_end(values);
	return keep(worker, text);
}

const char *words_of_errno(struct worker *worker, int number)
{
	char text[LONGEST];
	char *each;

	snprintf(text, sizeof(text), "%s", strerror(number));
	for (each = text; *each; each++)
		*each = (char)tolower((unsigned char)*each);
	return keep(worker, text);
}

void free_words(struct worker *worker)
{
	struct word *word;

	while ((word = worker->words)) {
		worker->words = word->next;
		free(word);
	}
}
