/* SPDX-License-Identifier: Apache-2.0
 *
 * The fake's threads: slots are pthreads, park and locks are futexes, the mailbox is a word and SIGURG. */
#define _GNU_SOURCE
#include "fake_internal.h"

#include <cpuid.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct slot {
    bool used, started;
    pthread_t pthread;
    struct thread *thread;
    struct checkpoint regs;
    uint64_t mailbox;
    uint32_t token;    /* futex word: 1 = a wake-up is due */
    uint32_t waiting;  /* in a blocking call */
    _Alignas(64) unsigned char xstate[576];
} slots[FAKE_SLOTS];
static pthread_mutex_t slots_mutex = PTHREAD_MUTEX_INITIALIZER;
static __thread struct slot *self;

void (*fake_thread_main)(struct checkpoint *regs);

static void on_sigurg(int sig)
{
    (void)sig;
}

void fake_threads_init(void)
{
    struct sigaction action = {.sa_handler = on_sigurg};

    sigaction(SIGURG, &action, NULL); /* no SA_RESTART: it interrupts */
    memset(slots, 0, sizeof(slots));
    self = &slots[0];
    self->used = true;
    self->pthread = pthread_self();
    xstate_init();
    fake_thread_main = NULL;
}

struct checkpoint *current_regs(void)
{
    return &self->regs;
}

struct thread *current_thread(void)
{
    return self->thread;
}

void set_current_thread(struct thread *thread)
{
    self->thread = thread;
}

uint32_t current_slot(void)
{
    return (uint32_t)(self - slots);
}

static void *thread_start(void *arg)
{
    self = arg;
    if (fake_thread_main)
        fake_thread_main(&self->regs);
    thread_exit();
}

int thread_create(struct thread *thread, const struct checkpoint *regs, uint32_t *slot)
{
    uint32_t n = 0;

    pthread_mutex_lock(&slots_mutex);
    while (n < FAKE_SLOTS && (slots[n].used || slots[n].started))
        n++;
    if (n < FAKE_SLOTS)
        slots[n].used = slots[n].started = true;
    pthread_mutex_unlock(&slots_mutex);
    if (n == FAKE_SLOTS)
        return -EAGAIN;
    struct slot *s = &slots[n];
    s->thread = thread;
    s->regs = *regs;
    s->mailbox = s->token = s->waiting = 0;
    memcpy(s->xstate, self->xstate, sizeof(s->xstate));
    *slot = n;
    int error = pthread_create(&s->pthread, NULL, thread_start, s);
    if (error)
        s->used = s->started = false;
    return -error;
}

_Noreturn void thread_exit(void)
{
    __atomic_store_n(&self->used, false, __ATOMIC_SEQ_CST);
    pthread_exit(NULL);
}

void fake_join_all(void)
{
    for (int n = 1; n < FAKE_SLOTS; n++)
        if (slots[n].started) {
            pthread_join(slots[n].pthread, NULL);
            slots[n].started = false;
        }
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */
static long futex(uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
    return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, timeout, NULL, 0);
}

bool fake_begin_wait(void)
{
    __atomic_store_n(&self->waiting, 1, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&self->mailbox, __ATOMIC_SEQ_CST))
        return true;
    fake_end_wait();
    return false;
}

void fake_end_wait(void)
{
    __atomic_store_n(&self->waiting, 0, __ATOMIC_SEQ_CST);
}

void park(int64_t timeout_ns)
{
    struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};

    if (__atomic_load_n(&self->mailbox, __ATOMIC_SEQ_CST))
        return;
    if (!__atomic_exchange_n(&self->token, 0, __ATOMIC_SEQ_CST))
        futex(&self->token, FUTEX_WAIT, 0, timeout_ns < 0 ? NULL : &timeout);
    __atomic_store_n(&self->token, 0, __ATOMIC_SEQ_CST);
}

void unpark(uint32_t slot)
{
    __atomic_store_n(&slots[slot].token, 1, __ATOMIC_SEQ_CST);
    futex(&slots[slot].token, FUTEX_WAKE, 1, NULL);
}

/* A signal can arrive between the mailbox check and the blocking call, so it is repeated while the thread waits. */
static void post(uint32_t slot, int bit)
{
    struct slot *s = &slots[slot];

    __atomic_fetch_or(&s->mailbox, 1ull << bit, __ATOMIC_SEQ_CST);
    unpark(slot);
    for (int i = 0; i < 2000 && s != self && __atomic_load_n(&s->waiting, __ATOMIC_SEQ_CST); i++) {
        pthread_kill(s->pthread, SIGURG);
        usleep(500);
    }
}

void kick(uint32_t slot)
{
    post(slot, 0);
}

void fake_raise(uint32_t slot, int sig)
{
    post(slot, sig);
}

uint64_t untrusted_events_take(void)
{
    return __atomic_exchange_n(&self->mailbox, 0, __ATOMIC_SEQ_CST) & ~1ull;
}

uint32_t threads_inside = 2;

void lock(lock_t *l)
{
    uint32_t free_word = 0;

    if (__atomic_compare_exchange_n(&l->word, &free_word, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return;
    while (__atomic_exchange_n(&l->word, 2, __ATOMIC_ACQUIRE))
        futex(&l->word, FUTEX_WAIT, 2, NULL);
}

void unlock(lock_t *l)
{
    uint32_t before = __atomic_exchange_n(&l->word, 0, __ATOMIC_RELEASE);

    if (!before)
        abort(); /* unlock of a free lock */
    if (before == 2)
        futex(&l->word, FUTEX_WAKE, 1, NULL);
}

/* ---- vector state: x87 and SSE, an image for each slot ----------------------------------------------------------- */
size_t xsave_area_size(void)
{
    return sizeof(self->xstate);
}

bool sha_extensions(void)
{
    unsigned a, b = 0, c, d;

    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & 1u << 29;
}

uint64_t enclave_xfrm(void)
{
    return 3;
}

void xstate_save(void *area)
{
    memcpy(area, self->xstate, sizeof(self->xstate));
}

bool xstate_restore(const void *area)
{
    uint64_t header[8];
    uint32_t mxcsr;

    memcpy(header, (const char *)area + 512, sizeof(header));
    memcpy(&mxcsr, (const char *)area + 24, sizeof(mxcsr));
    if (header[0] & ~enclave_xfrm() || mxcsr & ~0xffffu)
        return false;
    for (int i = 1; i < 8; i++)
        if (header[i])
            return false;
    memcpy(self->xstate, area, sizeof(self->xstate));
    return true;
}

void xstate_init(void)
{
    memset(self->xstate, 0, sizeof(self->xstate));
    *(uint16_t *)self->xstate = 0x37f;
    *(uint32_t *)(self->xstate + 24) = 0x1f80;
}

void thread_retire(void)
{
}
