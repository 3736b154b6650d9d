/* SPDX-License-Identifier: Apache-2.0
 *
 * /proc/cpuinfo. What kind of processor it is, is what CPUID says: the host's word, without what the enclave cannot use
 * (libos/process/cpuid.c), in the words and the order of Linux. */
#include "libos/fs/pseudo/pseudo.h"
#include "libos/process/process.h"

static const struct { uint32_t leaf, subleaf, reg; const char *name[32]; } flags[] = {
    {0x1, 0, 3,
      {[0] = "fpu", [4] = "tsc", [8] = "cx8", [15] = "cmov", [16] = "pat", [19] = "clflush", [23] = "mmx",
       [24] = "fxsr", [25] = "sse", [26] = "sse2", [27] = "ss", [28] = "ht"}},
    {0x80000001, 0, 3,
      {[11] = "syscall", [20] = "nx", [22] = "mmxext", [25] = "fxsr_opt", [26] = "pdpe1gb", [27] = "rdtscp",
       [29] = "lm", [30] = "3dnowext", [31] = "3dnow"}},
    {0x1, 0, 2,
      {[0] = "pni", [1] = "pclmulqdq", [9] = "ssse3", [12] = "fma", [13] = "cx16", [19] = "sse4_1", [20] = "sse4_2",
       [22] = "movbe", [23] = "popcnt", [25] = "aes", [26] = "xsave", [28] = "avx", [29] = "f16c", [30] = "rdrand",
       [31] = "hypervisor"}},
    {0x80000001, 0, 2,
      {[0] = "lahf_lm", [5] = "abm", [6] = "sse4a", [7] = "misalignsse", [8] = "3dnowprefetch", [11] = "xop",
       [16] = "fma4", [21] = "tbm"}},
    {0x7, 0, 1,
      {[0] = "fsgsbase", [3] = "bmi1", [4] = "hle", [5] = "avx2", [8] = "bmi2", [9] = "erms", [11] = "rtm",
       [16] = "avx512f", [17] = "avx512dq", [18] = "rdseed", [19] = "adx", [21] = "avx512ifma", [23] = "clflushopt",
       [24] = "clwb", [26] = "avx512pf", [27] = "avx512er", [28] = "avx512cd", [29] = "sha_ni", [30] = "avx512bw",
       [31] = "avx512vl"}},
    {0xd, 1, 0,
      {[0] = "xsaveopt", [1] = "xsavec", [2] = "xgetbv1"}},
    {0x7, 1, 0,
      {[4] = "avx_vnni", [5] = "avx512_bf16", [10] = "fzrm", [11] = "fsrs", [12] = "fsrc", [21] = "amx_fp16",
       [23] = "avx_ifma"}},
    {0x80000008, 0, 1,
      {[0] = "clzero"}},
    {0x7, 0, 2,
      {[1] = "avx512vbmi", [2] = "umip", [3] = "pku", [4] = "ospke", [5] = "waitpkg", [6] = "avx512_vbmi2",
       [8] = "gfni", [9] = "vaes", [10] = "vpclmulqdq", [11] = "avx512_vnni", [12] = "avx512_bitalg",
       [14] = "avx512_vpopcntdq", [22] = "rdpid", [25] = "cldemote", [27] = "movdiri", [28] = "movdir64b"}},
    {0x7, 0, 3,
      {[2] = "avx512_4vnniw", [3] = "avx512_4fmaps", [4] = "fsrm", [8] = "avx512_vp2intersect", [14] = "serialize",
       [16] = "tsxldtrk", [22] = "amx_bf16", [23] = "avx512_fp16", [24] = "amx_tile", [25] = "amx_int8"}},
};

struct kind { uint32_t most, most_extended, family, model, stepping, clflush, physical, linear; char vendor[13], name[49]; };

static void add_flags(struct text *text, const struct kind *k)
{
    text_add(text, "flags\t\t:");
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        uint32_t out[4];
        if (flags[i].leaf > (flags[i].leaf >> 31 ? k->most_extended : k->most))
            continue;
        cpuid_get(flags[i].leaf, flags[i].subleaf, out);
        for (int bit = 0; bit < 32; bit++)
            if (flags[i].name[bit] && out[flags[i].reg] >> bit & 1)
                text_add(text, " %s", flags[i].name[bit]);
    }
    text_add(text, "\n");
}

/* A name that the host could have made up: printable, or not at all. */
static void clean(char *name)
{
    for (; *name; name++)
        if (*name < ' ' || *name > '~')
            *name = '?';
}

static struct kind kind_of_processor(void)
{
    struct kind k = {.physical = 46, .linear = 48};
    uint32_t out[4];

    cpuid_get(0, 0, out);
    k.most = out[0];
    memcpy(k.vendor, &out[1], 4);
    memcpy(k.vendor + 4, &out[3], 4);
    memcpy(k.vendor + 8, &out[2], 4);
    cpuid_get(1, 0, out);
    k.family = out[0] >> 8 & 15;
    k.model = out[0] >> 4 & 15;
    k.stepping = out[0] & 15;
    if (k.family == 6 || k.family == 15)
        k.model |= out[0] >> 12 & 0xf0;
    if (k.family == 15)
        k.family += out[0] >> 20 & 0xff;
    k.clflush = (out[1] >> 8 & 0xff) * 8;
    cpuid_get(0x80000000, 0, out);
    k.most_extended = out[0];
    for (uint32_t i = 0; k.most_extended >= 0x80000004 && i < 3; i++) {
        cpuid_get(0x80000002 + i, 0, out);
        memcpy(k.name + 16 * i, out, 16);
    }
    if (k.most_extended >= 0x80000008) {
        cpuid_get(0x80000008, 0, out);
        k.physical = out[0] & 0xff;
        k.linear = out[0] >> 8 & 0xff;
    }
    clean(k.vendor);
    clean(k.name);
    for (size_t n = strlen(k.name); n && k.name[n - 1] == ' ';)
        k.name[--n] = 0;
    return k;
}

long show_cpuinfo(const struct pseudo_at *at, struct text *text)
{
    struct processors *p = kmalloc(sizeof(*p));
    struct kind k;

    (void)at;
    if (!p)
        return -ENOMEM;
    k = kind_of_processor();
    const char *name = k.name;
    while (*name == ' ')
        name++;
    system_processors(p);
    for (uint32_t i = 0, core = 0; i <= p->last; i++) {
        if (!(p->mask[i / 64] >> i % 64 & 1))
            continue;
        text_add(text,
                 "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nmodel name\t: %s\nstepping\t: %u\n"
                 "physical id\t: 0\nsiblings\t: %u\ncore id\t\t: %u\ncpu cores\t: %u\napicid\t\t: %u\nfpu\t\t: yes\n"
                 "fpu_exception\t: yes\ncpuid level\t: %u\nwp\t\t: yes\n",
                 i, k.vendor[0] ? k.vendor : "unknown", k.family, k.model, *name ? name : "unknown", k.stepping, p->count, core,
                 p->count, i, k.most);
        add_flags(text, &k);
        text_add(text,
                 "bugs\t\t:\nclflush size\t: %u\ncache_alignment\t: 64\naddress sizes\t: %u bits physical, %u bits virtual\n"
                 "power management:\n\n",
                 k.clflush, k.physical, k.linear);
        core++;
    }
    kfree(p);
    return 0;
}
