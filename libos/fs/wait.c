/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting for objects inside the enclave (pipes, event counters). Nobody is woken "for" anything: a woken thread looks
 * again. The mailbox is emptied (interrupted()) before the look, so a kick after the look is not lost. */
#include "libos/fs/fs.h"

#define WAKE_BATCH 16

static void add(struct wait_queue *queue, struct waiter *waiter)
{
    lock(&queue->lock);
    waiter->next = queue->first;
    queue->first = waiter;
    unlock(&queue->lock);
}

void wait_add(struct wait_queue *queue, struct waiter *waiter, bool in_host)
{
    *waiter = (struct waiter){.queue = queue, .slot = current_slot(), .in_host = in_host};
    add(queue, waiter);
}

void wait_forward(struct wait_queue *queue, struct waiter *waiter, struct wait_queue *to)
{
    *waiter = (struct waiter){.queue = queue, .forward = to, .event = true};
    add(queue, waiter);
}

void wait_remove(struct waiter *waiter)
{
    struct wait_queue *queue = waiter->queue;

    lock(&queue->lock);
    for (struct waiter **at = &queue->first; *at; at = &(*at)->next) {
        if (*at == waiter) {
            *at = waiter->next;
            break;
        }
    }
    unlock(&queue->lock);
}

/* Whom to wake once no lock is held: who is woken may run at once, in our place, and want the queue's lock. */
struct wake_list {
    uint32_t count;
    struct { uint32_t slot; bool in_host; } who[WAKE_BATCH];
};

static void wake_one(uint32_t slot, bool in_host)
{
    if (in_host)
        kick(slot);
    else
        unpark(slot);
}

static void collect(struct wait_queue *queue, struct wake_list *list)
{
    lock(&queue->lock);
    for (struct waiter *w = queue->first; w; w = w->next) {
        bool in_host = __atomic_load_n(&w->in_host, __ATOMIC_SEQ_CST);
        if (w->forward) {
            __atomic_store_n(&w->event, true, __ATOMIC_RELEASE);
            collect(w->forward, list);
        } else if (list->count < WAKE_BATCH) {
            list->who[list->count].slot = w->slot;
            list->who[list->count++].in_host = in_host;
        } else {
            wake_one(w->slot, in_host);
        }
    }
    unlock(&queue->lock);
}

void wait_wake(struct wait_queue *queue)
{
    struct wake_list list = {.count = 0};

    /* What has changed is visible before the look: who enters the queue later sees it. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&queue->first, __ATOMIC_RELAXED))
        return;
    collect(queue, &list);
    for (uint32_t i = 0; i < list.count; i++)
        wake_one(list.who[i].slot, list.who[i].in_host);
}
