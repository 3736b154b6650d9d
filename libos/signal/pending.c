/* SPDX-License-Identifier: Apache-2.0
 *
 * Pending signals: standard ones once, real-time ones in the order they came. */
#include "libos/signal/signal.h"

#define FIRST_REALTIME 32

int pending_add(struct pending *p, const siginfo_t *info)
{
    uint64_t bit = SIG_BIT(info->si_signo);

    if ((p->set & bit) && info->si_signo < FIRST_REALTIME)
        return 0;
    struct queued *q = kmalloc(sizeof(*q));
    if (!q)
        return -EAGAIN;
    q->info = *info;
    q->next = NULL;
    struct queued **end = &p->queue;
    while (*end)
        end = &(*end)->next;
    *end = q;
    p->set |= bit;
    return 0;
}

static int choose(uint64_t set)
{
    uint64_t first = set & SIG_SYNCHRONOUS ? set & SIG_SYNCHRONOUS : set;
    return first ? __builtin_ctzll(first) + 1 : 0;
}

int pending_take(struct pending *p, uint64_t allowed, siginfo_t *info)
{
    int sig = choose(p->set & allowed);
    bool more = false;
    struct queued *found = NULL;

    if (!sig)
        return 0;
    for (struct queued **at = &p->queue; *at;) {
        if ((*at)->info.si_signo == sig) {
            if (found) {
                more = true;
                break;
            }
            found = *at;
            *at = found->next;
            continue;
        }
        at = &(*at)->next;
    }
    if (!more)
        p->set &= ~SIG_BIT(sig);
    if (!found)
        return 0;
    *info = found->info;
    kfree(found);
    return sig;
}

void pending_drop(struct pending *p, uint64_t set)
{
    for (struct queued **at = &p->queue; *at;) {
        struct queued *q = *at;
        if (set & SIG_BIT(q->info.si_signo)) {
            *at = q->next;
            kfree(q);
        } else {
            at = &q->next;
        }
    }
    p->set &= ~set;
}
