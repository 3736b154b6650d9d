/* SPDX-License-Identifier: Apache-2.0
 *
 * Five things that gdb cannot be told, preloaded into gdb by `vigil gdb`.
 *
 * Writing to enclave code. The software SGX maps an enclave's memory from a file, shared and with the enclave's own
 * permissions; the kernel lets a debugger write to read-only memory only if it is private. On SGX hardware the driver
 * executes EDBGWR. Here a write that the kernel refuses goes to another mapping of the same memory: the processor's.
 *
 * Interrupts while an instruction is stepped. The timer of the tick goes on while the program is stopped, so that each
 * step over a breakpoint would begin with an interrupt, and at high rates never end. The tick is blocked while an
 * instruction is stepped and comes as soon as the program continues.
 *
 * Stepping `syscall` in an enclave. It becomes a SIGSYS, but the kernel then also reports the step, and that SIGTRAP
 * waits until the trap driver's handler is over, where nobody expects it. The thread stops by itself here: it is
 * continued.
 *
 * Stepping PUSHF. It stores RFLAGS.TF, which is the debugger's; POPF and the enclave's resume would bring it back.
 *
 * Threads that end while gdb looks at them: see read_of_the_gone(). */
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <unistd.h>

#ifndef PTRACE_GETSIGMASK
#define PTRACE_GETSIGMASK 0x420a
#define PTRACE_SETSIGMASK 0x420b
#endif

#define FLAG_TF 0x100
#define PF_EXITING 4 /* the kernel's, in /proc/TID/stat */
#define SYSCALL_BYTES 0x050f

#define EXPORT __attribute__((visibility("default")))

typedef long ptrace_fn(int request, ...);
typedef ssize_t pwrite_fn(int fd, const void *buf, size_t n, off64_t offset);

/* ---- writing ---------------------------------------------------------------------------------------------------- */
struct mapping { uint64_t start, end, offset, inode; unsigned major, minor; char perms[5]; };

static bool next_mapping(FILE *maps, struct mapping *m)
{
    char line[4400];

    while (fgets(line, sizeof(line), maps))
        if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu", &m->start, &m->end, m->perms, &m->offset, &m->major, &m->minor,
                   &m->inode) == 7)
            return true;
    return false;
}

static bool same_file(const struct mapping *a, const struct mapping *b)
{
    return a->inode == b->inode && a->major == b->major && a->minor == b->minor;
}

/* Another address of the shared memory at address, where writing is allowed; *n becomes what both mappings hold. */
static uint64_t other_address(FILE *maps, uint64_t address, size_t *n)
{
    struct mapping here = {0}, m;
    bool found = false;

    while (!found && next_mapping(maps, &here))
        found = address >= here.start && address < here.end;
    if (!found || here.perms[3] != 's' || !here.inode)
        return 0;
    uint64_t offset = here.offset + (address - here.start);
    rewind(maps);
    while (next_mapping(maps, &m)) {
        uint64_t at = offset - m.offset;
        if (!same_file(&m, &here) || m.perms[1] != 'w' || offset < m.offset || at >= m.end - m.start)
            continue;
        if (*n > m.end - m.start - at)
            *n = m.end - m.start - at;
        if (*n > here.end - address)
            *n = here.end - address;
        return m.start + at;
    }
    return 0;
}

/* The process whose memory fd is, from "/proc/PID/task/TID/mem" or "/proc/PID/mem"; 0: something else. */
static long process_of(int fd)
{
    char link[40], path[80], *rest;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof(path) - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    if (strncmp(path, "/proc/", 6) || length < 10 || strcmp(path + length - 4, "/mem"))
        return 0;
    long pid = strtol(path + 6, &rest, 10);
    return *rest == '/' ? pid : 0;
}

EXPORT ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t offset)
{
    static pwrite_fn *real;
    char name[40];

    if (!real)
        real = (pwrite_fn *)(uintptr_t)dlsym(RTLD_NEXT, "pwrite64");
    ssize_t written = real(fd, buf, n, offset);
    int error = errno;
    long pid = written < 0 && (error == EIO || error == EFAULT) ? process_of(fd) : 0;
    if (!pid)
        return written;
    snprintf(name, sizeof(name), "/proc/%ld/maps", pid);
    FILE *maps = fopen(name, "re");
    uint64_t other = maps ? other_address(maps, (uint64_t)offset, &n) : 0;
    if (maps)
        fclose(maps);
    if (other)
        return real(fd, buf, n, (off64_t)other);
    errno = error;
    return written;
}

/* ---- stepping --------------------------------------------------------------------------------------------------- */
static int held_signal; /* 0: nothing is held back */

/* Threads that are being stepped. */
struct stepped {
    pid_t tid;
    bool masked;            /* its signal mask is ours now */
    uint64_t mask;          /* and was this */
    uint64_t behind_pushf;  /* the address behind the PUSHF it is stepped over, 0: it is something else */
};
static struct stepped *stepped;
static size_t stepped_count, stepped_room;

/* For vigil.py: the signal that waits while an instruction is stepped, 0 for none. */
EXPORT void vigil_gdb_hold(int sig);
void vigil_gdb_hold(int sig)
{
    held_signal = sig > 0 && sig <= 64 ? sig : 0;
}

static uint64_t enclave_base, enclave_size;

/* For vigil.py: ELRANGE, size 0 for none. */
EXPORT void vigil_gdb_enclave(uint64_t base, uint64_t size);
void vigil_gdb_enclave(uint64_t base, uint64_t size)
{
    enclave_base = base;
    enclave_size = size;
}

static ptrace_fn *real_ptrace(void)
{
    static ptrace_fn *real;

    if (!real)
        real = (ptrace_fn *)(uintptr_t)dlsym(RTLD_NEXT, "ptrace");
    return real;
}

static bool peek(enum __ptrace_request request, pid_t tid, uint64_t address, uint64_t *value)
{
    errno = 0;
    *value = (uint64_t)real_ptrace()((int)request, tid, (void *)address, NULL);
    return !errno;
}

static bool peek_register(pid_t tid, size_t offset, uint64_t *value)
{
    return peek(PTRACE_PEEKUSER, tid, offset, value);
}

/* 66, REX or none, and 9C. Its length, 0 if it is another instruction. */
static unsigned pushf_length(uint64_t code)
{
    unsigned prefix = (code & 0xff) == 0x66 || (code & 0xf0) == 0x40;

    return (code >> 8 * prefix & 0xff) == 0x9c ? prefix + 1 : 0;
}

static void clear_pushed_tf(pid_t tid, uint64_t behind)
{
    uint64_t rip, rsp, flags;

    if (peek_register(tid, offsetof(struct user, regs.rip), &rip) && rip == behind &&
        peek_register(tid, offsetof(struct user, regs.rsp), &rsp) && peek(PTRACE_PEEKDATA, tid, rsp, &flags))
        real_ptrace()(PTRACE_POKEDATA, tid, (void *)rsp, (void *)(flags & ~(uint64_t)FLAG_TF));
}

/* The step is over: the thread's mask becomes its own again. */
static void release(pid_t tid)
{
    for (size_t i = 0; i < stepped_count; i++) {
        struct stepped s = stepped[i];
        if (s.tid != tid)
            continue;
        stepped[i] = stepped[--stepped_count];
        if (s.masked)
            real_ptrace()(PTRACE_SETSIGMASK, tid, (void *)sizeof(s.mask), &s.mask);
        if (s.behind_pushf)
            clear_pushed_tf(tid, s.behind_pushf);
        return;
    }
}

/* A thread that ended while it was stepped leaves its number to a new one. */
static void forget(pid_t tid)
{
    for (size_t i = 0; i < stepped_count; i++)
        if (stepped[i].tid == tid)
            stepped[i] = stepped[--stepped_count];
}

static void hold(pid_t tid, struct stepped *s)
{
    uint64_t more;

    if (!held_signal || real_ptrace()(PTRACE_GETSIGMASK, tid, (void *)sizeof(s->mask), &s->mask))
        return;
    more = s->mask | 1ull << (held_signal - 1);
    s->masked = more != s->mask && !real_ptrace()(PTRACE_SETSIGMASK, tid, (void *)sizeof(more), &more);
}

/* Steps the thread, which is not given a signal. */
static long step(pid_t tid, void *address)
{
    struct stepped s = {.tid = tid};
    uint64_t rip = 0, code = 0;
    int request = PTRACE_SINGLESTEP;

    if (stepped_count == stepped_room) {
        size_t room = stepped_room ? 2 * stepped_room : 16;
        struct stepped *bigger = realloc(stepped, room * sizeof(*stepped));
        if (!bigger)
            return real_ptrace()(request, tid, address, NULL);
        stepped = bigger;
        stepped_room = room;
    }
    if (peek_register(tid, offsetof(struct user, regs.rip), &rip) && peek(PTRACE_PEEKTEXT, tid, rip, &code)) {
        unsigned length = pushf_length(code);
        s.behind_pushf = length ? rip + length : 0;
        if (rip - enclave_base < enclave_size && (code & 0xffff) == SYSCALL_BYTES)
            request = PTRACE_CONT;
    }
    hold(tid, &s);
    if (s.masked || s.behind_pushf)
        stepped[stepped_count++] = s;
    return real_ptrace()(request, tid, address, NULL);
}

/* Is the thread at its end? One that is killed while it is stopped takes a moment to know. */
static bool ends(pid_t tid)
{
    char name[40], text[512], state = 0;
    unsigned flags = 0;

    snprintf(name, sizeof(name), "/proc/%d/stat", tid);
    for (int i = 0; i < 50; i++) {
        FILE *f = fopen(name, "re");
        size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
        if (f)
            fclose(f);
        text[n] = 0;
        const char *rest = strrchr(text, ')');
        if (!rest || sscanf(rest, ") %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2 || state == 'Z' || state == 'X' ||
            (flags & PF_EXITING))
            return true;
        usleep(1000);
    }
    return false;
}

/* In vigil every system call is an event for gdb, so it often looks at a thread that another thread's exit has just
 * killed. gdb bears that when it resumes a thread; when it reads, the user's command would end with an error. What is
 * read of a thread that is gone is zero here, and gdb finds out when it resumes it. */
static bool read_of_the_gone(int request, pid_t tid, void *data)
{
    struct iovec *vector = data;

    if (!ends(tid)) {
        errno = ESRCH;
        return false;
    }
    switch (request) {
    case PTRACE_PEEKUSER:
        break;
    case PTRACE_GETREGS:
        memset(data, 0, sizeof(struct user_regs_struct));
        break;
    case PTRACE_GETFPREGS:
        memset(data, 0, sizeof(struct user_fpregs_struct));
        break;
    case PTRACE_GETREGSET:
        memset(vector->iov_base, 0, vector->iov_len);
        break;
    default:
        errno = ESRCH;
        return false;
    }
    errno = 0;
    return true;
}

/* A thread's own mask is put back before it goes on in any way, and so before a signal is delivered to it. */
EXPORT long ptrace(enum __ptrace_request request, ...)
{
    va_list args;

    va_start(args, request);
    pid_t tid = va_arg(args, pid_t);
    void *address = va_arg(args, void *);
    void *data = va_arg(args, void *);
    va_end(args);
    switch ((int)request) {
    case PTRACE_SINGLESTEP:
        release(tid);
        if (!data)
            return step(tid, address);
        break;
    case PTRACE_CONT: case PTRACE_SYSCALL: case PTRACE_DETACH:
        release(tid);
        break;
    default:
        break;
    }
    long result = real_ptrace()((int)request, tid, address, data);
    if (result == -1 && errno == ESRCH && read_of_the_gone((int)request, tid, data))
        return 0;
    if (request == PTRACE_GETEVENTMSG && !result)
        forget((pid_t)*(unsigned long *)data);
    return result;
}
