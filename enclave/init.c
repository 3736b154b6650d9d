/* SPDX-License-Identifier: Apache-2.0
 *
 * The first entry: establishes what is true (from measured data and from the enclave's own REPORT, never from the host)
 * and prepares every thread block. */
#include "enclave/internal.h"
#include "enclave/notify/notify.h"

/* The builder fills this in before measuring (include/vigil/layout.h). volatile: the compiler must not fold it. */
__attribute__((section(VIGIL_BOOT_SECTION), used))
volatile struct vigil_boot_info boot_info_volatile = {.magic = VIGIL_BOOT_MAGIC};

static struct vigil_boot_info info;
static bool notify_on, exinfo_enabled;

const struct vigil_boot_info *boot_info(void)
{
    return &info;
}

const struct vigil_config *config(void)
{
    return (const struct vigil_config *)info.config;
}

const char *config_string(uint32_t offset)
{
    if (!offset || offset >= config()->size)
        return NULL;
    return (const char *)info.config + offset;
}

bool aex_notify_on(void)
{
    return notify_on;
}

bool exinfo_on(void)
{
    return exinfo_enabled;
}

uint64_t elrange_end(void)
{
    return info.base + info.size;
}

bool outside_enclave(const void *p, size_t n)
{
    uint64_t start = (uint64_t)p, end = start + n;
    if (end < start || end > 0x7fffffffffffull)
        return false;
    return end <= info.base || start >= info.base + info.size;
}

bool user_range_ok(const void *p, size_t n)
{
    uint64_t start = (uint64_t)p, end = start + n;
    if (!n)
        return true; /* nothing is touched: Linux takes any pointer */
    return end >= start && start >= info.app_start && end <= info.app_end;
}

struct tcb *tcb_of_slot(uint32_t slot)
{
    return (struct tcb *)(info.threads + slot * info.thread_stride + VIGIL_TB_TCB * VIGIL_PAGE);
}

static void read_boot_info(void)
{
    const volatile uint64_t *from = (const volatile uint64_t *)&boot_info_volatile;
    uint64_t *to = (uint64_t *)&info;
    for (size_t i = 0; i < sizeof(info) / sizeof(*to); i++)
        to[i] = from[i];
}

/* The runtime's heap is above application memory: not measured, so its first content is untrusted. */
static void init_memory(void)
{
    kheap_init(info.heap, info.heap_ready, info.heap_end);
    if (config()->flags & VIGIL_FLAG_EDMM)
        edmm_init(info.app_start, &info.app_end);
}

static void init_threads(void)
{
    for (uint32_t i = 0; i < info.thread_count; i++)
        thread_block_init(i);
}

/* Fail closed: what the measured configuration asks for must be what the processor says this enclave has. */
static void check_attributes(void)
{
    bool wanted = config()->flags & VIGIL_FLAG_AEX_NOTIFY;
    bool granted = self_attributes()->flags & SGX_ATTR_AEXNOTIFY;

    if (wanted && !granted)
        runtime_fail("AEX-Notify was asked for (sgx.experimental_enable_aex_notify) and is not granted: this enclave's "
                     "ATTRIBUTES have no AEXNOTIFY bit; it needs a processor and a Linux (6.2 or later) that offer it");
    if (!wanted && granted)
        runtime_fail("this enclave's ATTRIBUTES have AEXNOTIFY, but its configuration does not ask for it");
    notify_on = wanted;
    notify_policy_init();
    mitigation_init();
    exinfo_enabled = self_miscselect() & SGX_MISC_EXINFO;
    if ((config()->flags & VIGIL_FLAG_EXINFO) && !exinfo_enabled)
        runtime_fail("sgx.use_exinfo was asked for and is not granted: MISCSELECT has no EXINFO");
}

void runtime_boot(uint64_t untrusted_shared)
{
    read_boot_info();
    self_report_init();
    init_threads();
    ocall_thread_init(tcb_current(), untrusted_shared);
    if (config()->magic != VIGIL_CONFIG_MAGIC || config()->size > info.config_size)
        runtime_fail("the measured configuration is malformed: it was made by another version of Vigil; sign it again");
    init_memory();
    log_init();
    xstate_measure();
    check_attributes();
    notify_policy_thread(tcb_current());
    start_info_copy(tcb_current()->shared->boot);
    libos_start();
    edmm_count_start();
    libos_return(&tcb_current()->ckpt, false);
}

void runtime_thread_start(uint64_t untrusted_shared)
{
    ocall_thread_init(tcb_current(), untrusted_shared);
    notify_policy_thread(tcb_current());
    libos_return(&tcb_current()->ckpt, false);
}
