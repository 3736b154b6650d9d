/* SPDX-License-Identifier: Apache-2.0
 *
 * ELRANGE in this process: the shared mapping of the EPC, its protections, and the filter that turns a `syscall` in it
 * into a trap. */
#include "softsgx/trap.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Low addresses that this machine does not let a process map. */
static uint64_t lowest_address(void)
{
    unsigned long value = 65536;
    FILE *f = fopen("/proc/sys/vm/mmap_min_addr", "re");
    if (f) {
        if (fscanf(f, "%lu", &value) != 1 || value < 4096)
            value = 65536;
        fclose(f);
    }
    return (value + 4095) & ~4095ul;
}

static uint64_t mapped_start(const struct softsgx_enclave *enclave)
{
    static uint64_t lowest;
    if (!lowest)
        lowest = lowest_address();
    uint64_t base = sgx_enclave_base(enclave);
    return base < lowest ? lowest : base;
}

#define FIELD(name) ((uint32_t)__builtin_offsetof(struct seccomp_data, name))
#define LOAD(what) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, what)
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)

/* System calls with an instruction pointer in [base, end) trap, all others pass. 64-bit compares in two halves.
 * The instruction pointer is that behind the instruction. */
static int trap_syscalls(uint64_t base, uint64_t end)
{
    const uint32_t high = FIELD(instruction_pointer) + 4, low = FIELD(instruction_pointer);
    const uint32_t base_high = (uint32_t)(base >> 32), base_low = (uint32_t)base;
    const uint32_t last_high = (uint32_t)((end - 1) >> 32), last_low = (uint32_t)(end - 1);
    struct sock_filter code[] = {
        LOAD(high),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last_high, 8, 0),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, base_high, 0, 7),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, last_high, 0, 2),
        LOAD(low),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last_low, 4, 0),
        LOAD(high),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, base_high, 0, 3),
        LOAD(low),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, base_low, 1, 0),
        RETURN(SECCOMP_RET_ALLOW),
        RETURN(SECCOMP_RET_TRAP),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -errno;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) ? -errno : 0;
}

static int reserve(struct softsgx_enclave *enclave, int memfd)
{
    uint64_t base = sgx_enclave_base(enclave), end = base + sgx_enclave_size(enclave), start = mapped_start(enclave);
    void *p = mmap((void *)start, end - start, PROT_NONE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED_NOREPLACE, memfd,
                   (off_t)(start - base));

    if (p == MAP_FAILED)
        return -errno;
    int status = trap_syscalls(base, end);
    if (status)
        munmap(p, end - start);
    return status;
}

static int protect(struct softsgx_enclave *enclave, uint64_t address, uint64_t length, int prot)
{
    if (address < mapped_start(enclave))
        return -EINVAL;
    return mprotect((void *)address, length, prot) ? -errno : 0;
}

static void release(struct softsgx_enclave *enclave)
{
    uint64_t start = mapped_start(enclave);
    munmap((void *)start, sgx_enclave_base(enclave) + sgx_enclave_size(enclave) - start);
}

const struct sgx_mapping_ops trap_mapping_ops = {.reserve = reserve, .protect = protect, .release = release};
