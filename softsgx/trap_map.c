/* SPDX-License-Identifier: Apache-2.0
 *
 * The linear address range of an enclave: reserved, protected by the semantics' word, and closed to system calls.
 *
 * Two means close it. Syscall user dispatch (Linux 5.11) is set up by each thread for itself, allows one range, and costs a host's
 * system call half of what a filter does: it is taken for an ELRANGE that begins at 0, because then all of the host lies
 * above. Otherwise, or where there is none, it is a seccomp filter.
 *
 * A seccomp filter cannot be taken back, so a range that was ELRANGE once stays reserved after its enclave is gone: no
 * host code will ever lie where its system calls would be trapped. The next enclave there needs no new filter. */
#include "softsgx/trap.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON 1
#define SYSCALL_DISPATCH_FILTER_BLOCK 1
#endif

#define RANGES 1024

struct range { uint64_t base, end; };
/* Ranges with a filter. What of them no live enclave has is held by a placeholder mapping. */
static struct range filtered[RANGES];
static unsigned filtered_count;
/* Live enclaves; an unused entry is empty. */
static struct range live[RANGES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t mapped_start(uint64_t base)
{
    return base ? base : sgx_lowest_mappable();
}

/* A trap for every system call made by an instruction in [base, end): SYSCALL and INT 0x80 are two bytes long, and the
 * filter sees the address behind them, in (base, end]. */
static int install_filter(uint64_t base, uint64_t end)
{
    const uint32_t low = offsetof(struct seccomp_data, instruction_pointer), high = low + 4;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, high),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)(end >> 32), 8, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(end >> 32), 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)end, 5, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, high),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)(base >> 32), 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(base >> 32), 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)base, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };
    long ret;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -errno;
    ret = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW,
                  &program);
    if (ret > 0)
        return -EBUSY; /* a thread with a filter of its own cannot take ours */
    return ret ? -errno : 0;
}

/* The end of the ELRANGE at 0, if its system calls are dispatched; 0: they are not. */
static uint64_t dispatched;

/* The kernel compares the address behind the instruction, and allows what lies in [end + 1, 2^64): an instruction across the
 * end cannot be, its second byte would be the first of a mapping of the host's. */
static int dispatch(uint64_t end)
{
    static const char block = SYSCALL_DISPATCH_FILTER_BLOCK;

    return prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, end + 1, ~0ull - (end + 1), &block) ? -errno : 0;
}

int sgx_trap_map_thread(void)
{
    uint64_t end = __atomic_load_n(&dispatched, __ATOMIC_SEQ_CST);

    return end ? dispatch(end) : 0;
}

/* For the calling thread; others that are registered could not be reached. */
static int close_to_system_calls(uint64_t base, uint64_t end)
{
    if (base || dispatched)
        return install_filter(base, end);
    __atomic_store_n(&dispatched, end, __ATOMIC_SEQ_CST); /* first: whoever registers from here on sees it */
    if (!sgx_trap_others_registered() && !dispatch(end))
        return 0;
    __atomic_store_n(&dispatched, 0, __ATOMIC_SEQ_CST);
    return install_filter(base, end);
}

static bool overlaps(const struct range *r, uint64_t base, uint64_t end)
{
    return r->base < end && base < r->end;
}

/* ELRANGEs are naturally aligned powers of two: two that overlap are nested. */
static bool has_filter(uint64_t base, uint64_t end)
{
    for (unsigned i = 0; i < filtered_count; i++)
        if (filtered[i].base <= base && end <= filtered[i].end)
            return true;
    return false;
}

/* A place for [base, end) among the live, or NULL and why. */
static struct range *claim(uint64_t base, uint64_t end, int *why)
{
    struct range *free_entry = NULL;

    *why = -ENOSPC;
    for (unsigned i = 0; i < RANGES; i++) {
        if (live[i].end == 0) {
            free_entry = free_entry ? free_entry : &live[i];
        } else if (overlaps(&live[i], base, end)) {
            *why = -EEXIST;
            return NULL;
        }
    }
    return free_entry;
}

static int map(uint64_t start, uint64_t end, int memfd, uint64_t offset, int flags)
{
    flags |= memfd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
    if (mmap((void *)start, end - start, PROT_NONE, flags | MAP_NORESERVE, memfd, (off_t)offset) == MAP_FAILED)
        return -errno;
    return 0;
}

/* An enclave that is larger than earlier ones swallows their places. */
static void placeholders_within(uint64_t base, uint64_t end, bool present)
{
    for (unsigned i = 0; i < filtered_count; i++) {
        uint64_t start = mapped_start(filtered[i].base);

        if (!overlaps(&filtered[i], base, end))
            continue;
        if (present)
            map(start, filtered[i].end, -1, 0, MAP_FIXED_NOREPLACE);
        else
            munmap((void *)start, filtered[i].end - start);
    }
}

static void remember_filter(uint64_t base, uint64_t end)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < filtered_count; i++)
        if (!overlaps(&filtered[i], base, end))
            filtered[kept++] = filtered[i];
    filtered[kept++] = (struct range){ base, end };
    filtered_count = kept;
}

static int reserve_new(uint64_t base, uint64_t end, int memfd)
{
    uint64_t start = mapped_start(base);
    int ret;

    if (filtered_count == RANGES)
        return -ENOSPC;
    placeholders_within(base, end, false);
    ret = map(start, end, memfd, start - base, MAP_FIXED_NOREPLACE);
    if (!ret) {
        ret = close_to_system_calls(base, end);
        if (ret)
            munmap((void *)start, end - start);
    }
    if (ret)
        placeholders_within(base, end, true);
    else
        remember_filter(base, end);
    return ret;
}

static int reserve_locked(struct softsgx_enclave *enclave, int memfd)
{
    uint64_t base = sgx_enclave_base(enclave), end = base + sgx_enclave_size(enclave), start = mapped_start(base);
    struct range *place;
    int ret;

    if (end <= start)
        return -EINVAL; /* all of it below what the kernel maps */
    place = claim(base, end, &ret);
    if (!place)
        return ret;
    if (has_filter(base, end))
        ret = map(start, end, memfd, start - base, MAP_FIXED);
    else
        ret = reserve_new(base, end, memfd);
    if (ret)
        return ret;
    *place = (struct range){ base, end };
    sgx_enclave_set_mapping(enclave, sgx_trap_blocks_make(base, start, end));
    return 0;
}

static int reserve(struct softsgx_enclave *enclave, int memfd)
{
    int ret;

    pthread_mutex_lock(&lock);
    ret = reserve_locked(enclave, memfd);
    pthread_mutex_unlock(&lock);
    return ret;
}

/* May be called in a handler: EACCEPT and EMODPE change permissions. */
static int protect(struct softsgx_enclave *enclave, uint64_t address, uint64_t length, int prot)
{
    uint64_t start = mapped_start(sgx_enclave_base(enclave)), end = address + length;

    if (address < start)
        address = start;
    if (address >= end)
        return 0;
    return sgx_trap_blocks_protect(sgx_enclave_mapping(enclave), address, end, prot, sgx_enclave_initialised(enclave));
}

static int back(struct softsgx_enclave *enclave, uint64_t address, uint64_t length, int memfd)
{
    return map(address, address + length, memfd, address - sgx_enclave_base(enclave), MAP_FIXED);
}

static __thread struct softsgx_enclave *interrupted;

static void interrupt_thread(struct trap_thread *t)
{
    if (__atomic_load_n(&t->cpu.enclave_mode, __ATOMIC_RELAXED) &&
        __atomic_load_n(&t->cpu.enclave, __ATOMIC_RELAXED) == interrupted)
        syscall(SYS_tgkill, getpid(), t->tid, sgx_trap_tick_signal());
}

static void interrupt(struct softsgx_enclave *enclave)
{
    interrupted = enclave;
    sgx_trap_each_thread(interrupt_thread);
}

static void release(struct softsgx_enclave *enclave)
{
    uint64_t base = sgx_enclave_base(enclave), end = base + sgx_enclave_size(enclave);

    sgx_trap_break_forget(enclave);
    sgx_fast_forget(enclave);
    sgx_trap_blocks_free(sgx_enclave_mapping(enclave), end);
    sgx_enclave_set_mapping(enclave, NULL);
    pthread_mutex_lock(&lock);
    map(mapped_start(base), end, -1, 0, MAP_FIXED);
    for (unsigned i = 0; i < RANGES; i++)
        if (live[i].end == end && live[i].base == base)
            live[i] = (struct range){ 0, 0 };
    pthread_mutex_unlock(&lock);
}

const struct sgx_mapping_ops sgx_trap_mapping = { .reserve = reserve, .protect = protect, .release = release,
                                                 .back = back, .interrupt = interrupt };
