/* SPDX-License-Identifier: Apache-2.0
 *
 * SGX hardware through the Linux driver, /dev/sgx_enclave (Linux 5.11; AEX-Notify: 6.2).
 * NOT TESTED: no machine with SGX was at hand when this was written. The image it loads is the one the software SGX
 * runs, page for page. */
#include "host/internal.h"

#include <asm/sgx.h>
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEVICE "/dev/sgx_enclave"
#define MMAP_MIN 0x10000ull

static int device = -1;

static void probe(struct host_sgx *sgx)
{
    uint32_t a, b, c, d;

    *sgx = (struct host_sgx){.name = "hardware"};
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & (1u << 2)) || !__get_cpuid_count(0x12, 0, &a, &b, &c, &d)) {
        snprintf(sgx->reason, sizeof(sgx->reason), "this processor does not enumerate SGX (CPUID.7.EBX[2])");
        return;
    }
    sgx->sgx1 = a & 1;
    sgx->sgx2 = a & 2;
    sgx->edeccssa = a & (1u << 11);
    sgx->exinfo = b & SGX_MISC_EXINFO;
    __get_cpuid_count(0x12, 1, &a, &b, &c, &d);
    sgx->aex_notify = a & (1u << 10);
    sgx->xfrm = ((uint64_t)d << 32 | c) & 0xe7;
    if (!(getauxval(AT_HWCAP2) & 2))
        snprintf(sgx->reason, sizeof(sgx->reason), "FSGSBASE instructions are not enabled (Linux 5.9 or later does)");
    else if (access(DEVICE, R_OK | W_OK))
        snprintf(sgx->reason, sizeof(sgx->reason), "%s: %s", DEVICE, strerror(errno));
    else {
        sgx->usable = sgx->sgx1;
        snprintf(sgx->reason, sizeof(sgx->reason), "%s is there; this backend has not been tested on silicon", DEVICE);
    }
}

static int fail(struct image_error *error, const char *what)
{
    snprintf(error->text, sizeof(error->text), "%s: %s: %s%s", DEVICE, what, strerror(errno),
             errno == EACCES ? " (AEX-Notify needs Linux 6.2 or later)" : "");
    return -1;
}

static int add(const struct image_range *r)
{
    static uint8_t zero[VIGIL_PAGE] __attribute__((aligned(VIGIL_PAGE)));
    struct sgx_secinfo secinfo __attribute__((aligned(64))) = {.flags = r->secinfo_flags};

    for (uint64_t done = 0; done < r->length;) {
        struct sgx_enclave_add_pages request = {
            .src = r->content ? (uint64_t)r->content + done : (uint64_t)zero,
            .offset = r->offset + done,
            .length = r->content ? r->length - done : VIGIL_PAGE,
            .secinfo = (uint64_t)&secinfo,
            .flags = r->measured ? SGX_PAGE_MEASURE : 0,
        };
        if (ioctl(device, SGX_IOC_ENCLAVE_ADD_PAGES, &request) && errno != EINTR && errno != EAGAIN)
            return -1;
        done += request.count;
    }
    return 0;
}

static int permissions(uint64_t flags)
{
    if ((flags & SGX_SECINFO_PT_MASK) == SGX_SECINFO_TCS)
        return PROT_READ | PROT_WRITE;
    return (flags & SGX_SECINFO_R ? PROT_READ : 0) | (flags & SGX_SECINFO_W ? PROT_WRITE : 0) |
           (flags & SGX_SECINFO_X ? PROT_EXEC : 0);
}

static int load(const struct image *image, const struct sgx_secs *secs, const struct host_options *options,
                struct image_error *error)
{
    struct sgx_enclave_create create = {.src = (uint64_t)secs};
    struct sgx_enclave_init init = {.sigstruct = (uint64_t)&image->sigstruct};
    (void)options;

    device = open(DEVICE, O_RDWR | O_CLOEXEC);
    if (device < 0)
        return fail(error, "open");
    if (mmap((void *)MMAP_MIN, image->secs.size - MMAP_MIN, PROT_NONE, MAP_SHARED | MAP_FIXED_NOREPLACE, device, 0) ==
        MAP_FAILED)
        return fail(error, "cannot reserve the enclave's address range");
    if (ioctl(device, SGX_IOC_ENCLAVE_CREATE, &create))
        return fail(error, "ECREATE");
    for (size_t i = 0; i < image->range_count; i++) {
        const struct image_range *r = &image->ranges[i];
        if (add(r))
            return fail(error, r->name);
        if (mmap((void *)r->offset, r->length, permissions(r->secinfo_flags), MAP_SHARED | MAP_FIXED, device, 0) ==
            MAP_FAILED)
            return fail(error, r->name);
    }
    if (ioctl(device, SGX_IOC_ENCLAVE_INIT, &init))
        return fail(error, "EINIT");
    return 0;
}

static int protect(uint64_t address, uint64_t length, int prot)
{
    return mprotect((void *)address, length, prot) ? -errno : 0;
}

/* The driver adds a page when it is touched, from outside too; what is read then is all ones. */
static int touch(uint64_t address, uint64_t length)
{
    for (uint64_t at = address; at < address + length; at += VIGIL_PAGE)
        (void)*(const volatile uint8_t *)at;
    return 0;
}

static int memory(uint32_t operation, uint64_t address, uint64_t length, uint64_t argument)
{
    struct sgx_enclave_restrict_permissions restriction = {.offset = address, .length = length, .permissions = argument};
    struct sgx_enclave_modify_types types = {.offset = address, .length = length};
    struct sgx_enclave_remove_pages removal = {.offset = address, .length = length};
    int status;

    switch (operation) {
    case VIGIL_MEMORY_ADD:
        return touch(address, length);
    case VIGIL_MEMORY_RESTRICT:
        status = ioctl(device, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, &restriction);
        break;
    case VIGIL_MEMORY_TRIM:
    case VIGIL_MEMORY_TCS:
        types.page_type = operation == VIGIL_MEMORY_TRIM ? SGX_PT_TRIM : SGX_PT_TCS;
        status = ioctl(device, SGX_IOC_ENCLAVE_MODIFY_TYPES, &types);
        break;
    case VIGIL_MEMORY_REMOVE:
        status = ioctl(device, SGX_IOC_ENCLAVE_REMOVE_PAGES, &removal);
        break;
    default:
        return -EINVAL;
    }
    return status ? -errno : 0;
}

/* Each thread's signal stack: the handlers of an enclave thread must not run on what the enclave gave as RSP. */
static __thread char *signal_stack;
#define SIGNAL_STACK 65536

static int thread_init(uint64_t ordinal)
{
    (void)ordinal;
    signal_stack = mmap(NULL, SIGNAL_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t ss = {.ss_sp = signal_stack, .ss_size = SIGNAL_STACK};
    return signal_stack == MAP_FAILED || sigaltstack(&ss, NULL) ? -1 : 0;
}

static void thread_exit(void)
{
    stack_t off = {.ss_flags = SS_DISABLE};
    sigaltstack(&off, NULL);
    munmap(signal_stack, SIGNAL_STACK);
}

static int install(int sig, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    sigfillset(&action.sa_mask);
    if (handler)
        action.sa_sigaction = handler;
    else
        action.sa_handler = SIG_DFL;
    return sigaction(sig, &action, NULL) ? -errno : 0;
}

static void print_stats(int fd)
{
    (void)fd; /* the processor does not count for us */
}

const struct sgx_backend backend_hardware = {
    .probe = probe,
    .load = load,
    .protect = protect,
    .memory = memory,
    .thread_init = thread_init,
    .thread_exit = thread_exit,
    .sigaction = install,
    .print_stats = print_stats,
};
