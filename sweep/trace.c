/* SPDX-License-Identifier: Apache-2.0
 *
 * One pass of a program as its instruction boundaries, the choice of those that are worth an event, and the cheapest way
 * back to each. */
#include "sweep/sweep.h"
#include "vigil/layout.h"

#include <sys/mman.h>

/* Arrivals at an address that are further apart belong to different loops. */
#define LOOP_GAP 256
/* So many steps after the runtime's return to the application a breakpoint might be under the eyes of the runtime's
 * instruction decoder, which would then plan for an INT3. */
#define LOOKED_AT 16
/* Nanoseconds: a breakpoint that stays (INT3 and a step), a step. They only decide which way is taken. */
#define COST_ARRIVAL 14000
#define COST_STEP 12000
#define FARTHEST 4096

struct sweep_arrival {
    uint32_t number;    /* arrivals at this address so far, this one included */
    uint32_t first;     /* index of the first arrival of this loop */
    uint32_t order;     /* 0 for that one, and so on */
    uint32_t loop;      /* in the first arrival: how many there are */
};
struct sweep_seen { uint64_t rip; uint32_t last, stamp; };

static void *memory(uint64_t size, int flags)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

struct sweep_trace *sweep_trace_new(uint64_t capacity)
{
    struct sweep_trace *t = memory(sizeof(*t) + capacity * sizeof(t->step[0]), MAP_SHARED);

    if (t)
        t->capacity = capacity;
    return t;
}

void sweep_trace_clear(struct sweep_trace *t)
{
    t->count = t->broken = t->broken_at = 0;
}

/* How deep the runtime is in: nothing may nest. */
static void note_depth(struct sweep_trace *t, const struct softsgx_boundary *b)
{
    uint64_t tcb = b->tcs - VIGIL_GS_TCS, used = tcb + VIGIL_GS_KSTACK_TOP - b->rsp;

    if (b->cssa > t->deepest)
        t->deepest = b->cssa;
    if (b->cssa == 0 && used <= VIGIL_KSTACK_PAGES * VIGIL_PAGE && used > t->stack)
        t->stack = used;
}

void sweep_trace_add(struct sweep_trace *t, const struct softsgx_boundary *b)
{
    unsigned flags = sweep_flags(b);

    note_depth(t, b);
    if (sweep_broken_invariant(b, flags) && !t->broken++)
        t->broken_at = t->count;
    if (flags & SWEEP_ARMED && sweep_accessed_page(b, flags & (SWEEP_IN_APPLICATION | SWEEP_PROBE)))
        flags |= SWEEP_CAN_PAGE;
    if (t->count < t->capacity)
        t->step[t->count] = (struct sweep_step){.rip = b->rip, .flags = flags};
    __atomic_store_n(&t->count, t->count + 1, __ATOMIC_RELAXED);
}

int sweep_plan_init(struct sweep_plan *plan, uint64_t capacity)
{
    plan->capacity = capacity;
    plan->chosen = memory(capacity * sizeof(*plan->chosen), MAP_PRIVATE);
    plan->arrival = memory(capacity * sizeof(*plan->arrival), MAP_PRIVATE);
    plan->seen = memory(4 * capacity * sizeof(*plan->seen), MAP_PRIVATE);
    return plan->chosen && plan->arrival && plan->seen ? 0 : -1;
}

static uint64_t length_of(const struct sweep_plan *plan, const struct sweep_trace *t)
{
    uint64_t n = t->count < t->capacity ? t->count : t->capacity;
    return n < plan->capacity ? n : plan->capacity;
}

/* Open addressing; stamp tells this plan's entries from an earlier one's. */
static struct sweep_seen *look_up(struct sweep_seen *table, uint64_t mask, uint64_t rip, uint32_t stamp)
{
    uint64_t i = (rip * 0x9e3779b97f4a7c15ull) >> 20 & mask;

    while (table[i].stamp == stamp && table[i].rip != rip)
        i = (i + 1) & mask;
    return &table[i];
}

static void count_arrivals(struct sweep_plan *plan, const struct sweep_trace *t, uint64_t n)
{
    static uint32_t stamp;
    uint64_t size = 1;

    stamp++;
    while (size < 2 * n)
        size *= 2;
    for (uint64_t i = 0; i < n; i++) {
        struct sweep_arrival *a = &plan->arrival[i];
        struct sweep_seen *s = look_up(plan->seen, size - 1, t->step[i].rip, stamp);
        bool known = s->stamp == stamp, again = known && i - s->last <= LOOP_GAP;
        const struct sweep_arrival *before = known ? &plan->arrival[s->last] : NULL;

        a->number = known ? before->number + 1 : 1;
        a->first = again ? before->first : (uint32_t)i;
        a->order = again ? before->order + 1 : 0;
        plan->arrival[a->first].loop = a->order + 1;
        *s = (struct sweep_seen){t->step[i].rip, (uint32_t)i, stamp};
    }
}

void sweep_plan_make(struct sweep_plan *plan, const struct sweep_trace *t)
{
    uint64_t n = length_of(plan, t);

    count_arrivals(plan, t, n);
    plan->chosen_count = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint32_t order = plan->arrival[i].order, loop = plan->arrival[plan->arrival[i].first].loop;
        if (order < 2 || order == loop / 2 || order == loop - 1)
            plan->chosen[plan->chosen_count++] = (uint32_t)i;
    }
}

/* A breakpoint in the application must not be where the runtime looks, or what the execute probe runs. */
static bool breakable(const struct sweep_trace *t, uint64_t index)
{
    const struct sweep_step *s = &t->step[index];

    if (s->rip == sweep_map.keep || s->flags & SWEEP_PROBE)
        return false;
    if (!(s->flags & SWEEP_IN_APPLICATION))
        return true;
    for (uint64_t i = index; i && index - i < LOOKED_AT; i--)
        if (!(t->step[i - 1].flags & SWEEP_IN_APPLICATION))
            return false;
    return true;
}

void sweep_land(const struct sweep_plan *plan, const struct sweep_trace *t, uint64_t index, struct sweep_landing *out)
{
    uint64_t best = ~0ull;

    for (uint64_t i = index;; i--) {
        uint64_t walk = (index - i) * COST_STEP, cost = walk + (uint64_t)plan->arrival[i].number * COST_ARRIVAL;
        if (cost < best && breakable(t, i)) {
            best = cost;
            *out = (struct sweep_landing){t->step[i].rip, t->step[index].rip, plan->arrival[i].number, (uint32_t)(index - i)};
        }
        if (i == 0 || walk >= best || index - i == FARTHEST)
            break;
    }
}
