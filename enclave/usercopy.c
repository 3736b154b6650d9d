/* SPDX-License-Identifier: Apache-2.0
 *
 * Access to application memory (which may be unmapped under our feet) and to untrusted memory. Instructions that may
 * fault are listed in ex_table with where to continue; stage 1 looks there (stage1_in_runtime). */
#include "enclave/internal.h"

struct ex_entry { int32_t insn, fixup; /* relative to the field itself */ };
extern const struct ex_entry __start_ex_table[], __stop_ex_table[];

uint64_t exception_fixup(uint64_t rip)
{
    /* cppcheck-suppress comparePointers; both ends of one section */
    for (const struct ex_entry *e = __start_ex_table; e < __stop_ex_table; e++)
        if ((uint64_t)&e->insn + (int64_t)e->insn == rip)
            return (uint64_t)&e->fixup + (int64_t)e->fixup;
    return 0;
}

/* Copies n bytes, whole words first. False if a fault ended it. */
static bool copy_raw(void *dst, const void *src, size_t n)
{
    size_t words = n / 8, bytes = n % 8;
    __asm__ volatile("1: rep movsq\n movq %[bytes], %%rcx\n 2: rep movsb\n xorl %k[bytes], %k[bytes]\n3:\n"
                     EX_TABLE("1b", "3b") EX_TABLE("2b", "3b")
                     : "+c"(words), "+D"(dst), "+S"(src), [bytes] "+r"(bytes)
                     :
                     : "memory", "cc");
    return !words && !bytes;
}

/* Dynamic memory: pages that the program may use and has not used yet are added before they are touched. */
static inline bool ready(const void *p, size_t n, int access)
{
    if (!n)
        return true;
    return user_range_ok(p, n) && (!edmm_on() || pages_present(p, n) || !libos_populate((uint64_t)p, n, access));
}

int copy_from_user(void *dst, const void *user_src, size_t n)
{
    return ready(user_src, n, LINUX_PROT_READ) && copy_raw(dst, user_src, n) ? 0 : -LINUX_EFAULT;
}

int copy_to_user(void *user_dst, const void *src, size_t n)
{
    return ready(user_dst, n, LINUX_PROT_WRITE) && copy_raw(user_dst, src, n) ? 0 : -LINUX_EFAULT;
}

int copy_untrusted_to_user(void *user_dst, const void *untrusted_src, size_t n)
{
    if (!outside_enclave(untrusted_src, n))
        return -LINUX_EFAULT;
    return copy_to_user(user_dst, untrusted_src, n);
}

int copy_user_to_untrusted(void *untrusted_dst, const void *user_src, size_t n)
{
    if (!outside_enclave(untrusted_dst, n))
        return -LINUX_EFAULT;
    return copy_from_user(untrusted_dst, user_src, n);
}

int clear_user(void *user_dst, size_t n)
{
    if (!ready(user_dst, n, LINUX_PROT_WRITE))
        return -LINUX_EFAULT;
    __asm__ volatile("1: rep stosb\n2:\n" EX_TABLE("1b", "2b") : "+c"(n), "+D"(user_dst) : "a"(0) : "memory");
    return n ? -LINUX_EFAULT : 0;
}

/* One page: 0 if it is zeroes now. It is not written if it was before: pages that nobody has used yet cost the machine no
 * memory where EPC is software, and no write-back where it is not. Only the first access can fault. */
static int wipe_page(void *page)
{
    const void *at = page;
    uint64_t lines = VIGIL_PAGE / 64, failed = 1, a, b;

    __asm__ volatile(
        "1: movq (%[at]), %[a]\n movq 8(%[at]), %[b]\n orq 16(%[at]), %[a]\n orq 24(%[at]), %[b]\n"
        "orq 32(%[at]), %[a]\n orq 40(%[at]), %[b]\n orq 48(%[at]), %[a]\n orq 56(%[at]), %[b]\n"
        "orq %[b], %[a]\n jnz 2f\n addq $64, %[at]\n decq %[lines]\n jnz 1b\n"
        "2: xorl %k[failed], %k[failed]\n3:\n" EX_TABLE("1b", "3b")
        : [at] "+r"(at), [lines] "+r"(lines), [failed] "+r"(failed), [a] "=&r"(a), [b] "=&r"(b)
        :
        : "memory", "cc");
    if (failed)
        return -LINUX_EFAULT;
    return lines ? clear_user(page, VIGIL_PAGE) : 0;
}

int wipe_user(void *user_dst, size_t n)
{
    int error = 0;

    for (size_t done = 0; done < n && !error; done += VIGIL_PAGE) {
        done += zero_pages((char *)user_dst + done, (n - done) / VIGIL_PAGE) * VIGIL_PAGE;
        if (done < n)
            error = wipe_page((char *)user_dst + done);
    }
    return error;
}

long strncpy_from_user(char *dst, const void *user_src, size_t size)
{
    const char *src = user_src;
    size_t done = 0;

    while (done < size) {
        /* Up to the end of the page: the string may end just before unmapped memory. */
        size_t n = VIGIL_PAGE - ((uint64_t)(src + done) & (VIGIL_PAGE - 1));
        if (n > size - done)
            n = size - done;
        if (copy_from_user(dst + done, src + done, n))
            return -LINUX_EFAULT;
        size_t len = strnlen(dst + done, n);
        if (len < n)
            return (long)(done + len);
        done += n;
    }
    return -LINUX_ENAMETOOLONG;
}

int user_load32(const uint32_t *user, uint32_t *value)
{
    uint32_t failed = 1;
    if (!ready(user, 4, LINUX_PROT_READ))
        return -LINUX_EFAULT;
    uint32_t got = 0;
    __asm__ volatile("1: movl (%2), %0\n xorl %1, %1\n2:\n" EX_TABLE("1b", "2b")
                     : "+r"(got), "+r"(failed) : "r"(user) : "memory", "cc");
    *value = got;
    return failed ? -LINUX_EFAULT : 0;
}

int user_cmpxchg32(uint32_t *user, uint32_t *old, uint32_t desired)
{
    uint32_t failed = 1, expected = *old;
    if (!ready(user, 4, LINUX_PROT_WRITE))
        return -LINUX_EFAULT;
    __asm__ volatile("1: lock cmpxchgl %3, (%2)\n movl $0, %1\n2:\n" EX_TABLE("1b", "2b")
                     : "+a"(expected), "+r"(failed) : "r"(user), "r"(desired) : "memory", "cc");
    *old = expected;
    return failed ? -LINUX_EFAULT : 0;
}

/* Untrusted memory is written in whole, aligned 8-byte words where possible (CVE-2022-21233: stale data in the
 * super-queue can be read through partial accesses to untrusted memory). */
void untrusted_write(void *untrusted_dst, const void *src, size_t n)
{
    if (!outside_enclave(untrusted_dst, n))
        runtime_fail("the host gave memory inside the enclave for an OCALL");
    copy_words(untrusted_dst, src, n);
}

void untrusted_read(void *dst, const void *untrusted_src, size_t n)
{
    if (!outside_enclave(untrusted_src, n))
        runtime_fail("the host gave memory inside the enclave for an OCALL");
    memcpy(dst, untrusted_src, n);
}
