/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting for objects inside the enclave (pipes, event counters). Nobody is woken "for" anything: a woken thread looks
 * again. The mailbox is emptied (interrupted()) before the look, so a kick after the look is not lost. */
#include "libos/fs/fs.h"

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

void wait_wake(struct wait_queue *queue)
{
    lock(&queue->lock);
    for (struct waiter *w = queue->first; w; w = w->next) {
        if (w->forward) {
            __atomic_store_n(&w->event, true, __ATOMIC_RELEASE);
            wait_wake(w->forward);
        } else if (__atomic_load_n(&w->in_host, __ATOMIC_SEQ_CST)) {
            kick(w->slot);
        } else {
            unpark(w->slot);
        }
    }
    unlock(&queue->lock);
}
