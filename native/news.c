// SPDX-License-Identifier: GPL-2.0-only
#include "news.h"

#include "memory.h"

#include <errno.h>
#include <string.h>

int have_room_for_news(struct worker *worker, size_t more)
{
	struct news_list *list = &worker->news;
	size_t wanted = list->count + list->reserved + more;
	struct news *all = with_room(list->all, &list->room, wanted, sizeof(*all));

	if (!all)
		return -ENOMEM;
	list->all = all;
	return 0;
}

static struct news *append(struct worker *worker, enum news_kind kind)
{
	struct news *news = &worker->news.all[worker->news.count++];

	memset(news, 0, sizeof(*news));
	news->kind = kind;
	return news;
}

struct news *tell(struct worker *worker, enum news_kind kind)
{
	return have_room_for_news(worker, 1) ? NULL : append(worker, kind);
}

int reserve_news(struct worker *worker)
{
	int failed = have_room_for_news(worker, 1 + SPARE_NEWS);

	if (!failed)
		worker->news.reserved++;
	return failed;
}

void give_up_reserved(struct worker *worker)
{
	worker->news.reserved--;
}

struct news *tell_reserved(struct worker *worker, enum news_kind kind)
{
	give_up_reserved(worker);
	return append(worker, kind);
}

uint32_t take_news(struct worker *worker, struct news *into, uint32_t most)
{
	struct news_list *list = &worker->news;
	uint32_t taken = list->count < most ? (uint32_t)list->count : most;

	if (!taken)
		return 0;
	memcpy(into, list->all, taken * sizeof(*into));
	list->count -= taken;
	memmove(list->all, list->all + taken, list->count * sizeof(*into));
	return taken;
}
