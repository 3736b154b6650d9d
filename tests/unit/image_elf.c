/* SPDX-License-Identifier: Apache-2.0
 *
 * The runtime ELF is checked before it is believed: each rule broken once, then every header byte and every length. */
#include "image_fixture.h"

#include <elf.h>

struct elf { uint8_t *data; size_t size; };

static Elf64_Ehdr *header(struct elf *elf)
{
    return (Elf64_Ehdr *)elf->data;
}

static Elf64_Phdr *load_segment(struct elf *elf, unsigned n)
{
    Elf64_Phdr *ph = (Elf64_Phdr *)(elf->data + header(elf)->e_phoff);

    for (unsigned i = 0; i < header(elf)->e_phnum; i++)
        if (ph[i].p_type == PT_LOAD && !n--)
            return &ph[i];
    fail_msg("the test's runtime has too few segments");
    return NULL;
}

static Elf64_Shdr *section(struct elf *elf, unsigned type, const char *wanted)
{
    Elf64_Shdr *sh = (Elf64_Shdr *)(elf->data + header(elf)->e_shoff);
    const char *names = (const char *)elf->data + sh[header(elf)->e_shstrndx].sh_offset;

    for (unsigned i = 0; i < header(elf)->e_shnum; i++)
        if ((!wanted || !strcmp(names + sh[i].sh_name, wanted)) && (!type || sh[i].sh_type == type))
            return &sh[i];
    fail_msg("the test's runtime has no section %s of type %u", wanted ? wanted : "", type);
    return NULL;
}

static Elf64_Rela *relocation(struct elf *elf, unsigned n)
{
    Elf64_Shdr *sh = section(elf, SHT_RELA, NULL);

    assert_true(sh->sh_size / sizeof(Elf64_Rela) > n);
    return (Elf64_Rela *)(elf->data + sh->sh_offset) + n;
}

static void magic(struct elf *e) { e->data[0] = 'M'; }
static void class32(struct elf *e) { e->data[EI_CLASS] = ELFCLASS32; }
static void machine(struct elf *e) { header(e)->e_machine = EM_AARCH64; }
static void not_pie(struct elf *e) { header(e)->e_type = ET_EXEC; }
static void object(struct elf *e) { header(e)->e_type = ET_REL; }
static void phoff(struct elf *e) { header(e)->e_phoff = e->size; }
static void phoff_wraps(struct elf *e) { header(e)->e_phoff = ~7ull; }
static void phoff_odd(struct elf *e) { header(e)->e_phoff++; }
static void phentsize(struct elf *e) { header(e)->e_phentsize = 8; }
static void phnum(struct elf *e) { header(e)->e_phnum = 0xffff; }
static void no_segments(struct elf *e) { header(e)->e_phnum = 0; }
static void shoff(struct elf *e) { header(e)->e_shoff = e->size & ~7ull; }
static void shoff_wraps(struct elf *e) { header(e)->e_shoff = ~7ull; }
static void shentsize(struct elf *e) { header(e)->e_shentsize = 1; }
static void no_sections(struct elf *e) { header(e)->e_shnum = 0; }
static void shstrndx(struct elf *e) { header(e)->e_shstrndx = header(e)->e_shnum; }
static void names_outside(struct elf *e) { section(e, SHT_STRTAB, ".shstrtab")->sh_offset = e->size; }
static void names_wrap(struct elf *e) { section(e, SHT_STRTAB, ".shstrtab")->sh_size = ~0ull; }
static void entry(struct elf *e) { header(e)->e_entry = 1ull << 40; }
static void segment_outside(struct elf *e) { load_segment(e, 1)->p_offset = e->size; }
static void segment_wraps(struct elf *e) { load_segment(e, 1)->p_offset = ~0ull - 4095; }
static void segment_filesz(struct elf *e) { load_segment(e, 1)->p_filesz = load_segment(e, 1)->p_memsz + 1; }
static void segment_huge(struct elf *e) { load_segment(e, 1)->p_memsz = 1ull << 40; }
static void segment_wraps_memory(struct elf *e) { load_segment(e, 1)->p_memsz = ~0ull; }
static void segment_far(struct elf *e) { load_segment(e, 1)->p_vaddr = 1ull << 47; }
static void segments_overlap(struct elf *e) { load_segment(e, 1)->p_vaddr = load_segment(e, 0)->p_vaddr; }
static void boot_name(struct elf *e)
{
    Elf64_Shdr *names = section(e, SHT_STRTAB, ".shstrtab");
    ((char *)e->data)[names->sh_offset + section(e, 0, VIGIL_BOOT_SECTION)->sh_name] = '_';
}
static void boot_small(struct elf *e) { section(e, 0, VIGIL_BOOT_SECTION)->sh_size = 8; }
static void boot_outside(struct elf *e) { section(e, 0, VIGIL_BOOT_SECTION)->sh_addr = 1ull << 40; }
static void boot_odd(struct elf *e) { section(e, 0, VIGIL_BOOT_SECTION)->sh_addr++; }
static void boot_magic(struct elf *e) { e->data[section(e, 0, VIGIL_BOOT_SECTION)->sh_offset] ^= 1; }
static void relocation_type(struct elf *e) { relocation(e, 0)->r_info = ELF64_R_INFO(0, R_X86_64_64); }
static void relocation_symbol(struct elf *e) { relocation(e, 1)->r_info = ELF64_R_INFO(1, R_X86_64_GLOB_DAT); }
static void relocation_outside(struct elf *e) { relocation(e, 0)->r_offset = 1ull << 40; }
static void relocation_edge(struct elf *e) { relocation(e, 0)->r_offset = ~0ull - 3; }
static void relocation_at_end(struct elf *e)
{
    uint64_t end = 0;
    for (unsigned i = 0; i < header(e)->e_phnum; i++) {
        const Elf64_Phdr *ph = (const Elf64_Phdr *)(e->data + header(e)->e_phoff) + i;
        if (ph->p_type == PT_LOAD)
            end = (ph->p_vaddr + ph->p_memsz + VIGIL_PAGE - 1) / VIGIL_PAGE * VIGIL_PAGE;
    }
    relocation(e, 0)->r_offset = end - 4;
}
static void relocations_outside(struct elf *e) { section(e, SHT_RELA, NULL)->sh_size = e->size; }
static void relocations_packed(struct elf *e) { section(e, SHT_RELA, NULL)->sh_type = 19; } /* SHT_RELR */
static Elf64_Phdr *other_segment(struct elf *elf)
{
    Elf64_Phdr *ph = (Elf64_Phdr *)(elf->data + header(elf)->e_phoff);

    for (unsigned i = 0; i < header(elf)->e_phnum; i++)
        if (ph[i].p_type != PT_LOAD)
            return &ph[i];
    fail_msg("the test's runtime has only segments that are loaded");
    return NULL;
}
static void interpreter(struct elf *e) { other_segment(e)->p_type = PT_INTERP; }
static void thread_local(struct elf *e) { other_segment(e)->p_type = PT_TLS; }
static void relocations_without_addend(struct elf *e) { section(e, SHT_RELA, NULL)->sh_type = SHT_REL; }

static const struct { const char *name; void (*spoil)(struct elf *); const char *says; } rules[] = {
#define RULE(f, says) {#f, f, says}
    RULE(magic, "not an ELF"), RULE(class32, "static PIE"), RULE(machine, "static PIE"), RULE(not_pie, "static PIE"),
    RULE(object, "static PIE"), RULE(phoff, "headers"), RULE(phoff_wraps, "headers"), RULE(phoff_odd, "headers"),
    RULE(phentsize, "headers"), RULE(phnum, "headers"), RULE(no_segments, "segments"), RULE(shoff, "headers"),
    RULE(shoff_wraps, "headers"), RULE(shentsize, "headers"), RULE(no_sections, "headers"), RULE(shstrndx, "headers"),
    RULE(names_outside, "section names"), RULE(names_wrap, "section names"), RULE(entry, "entry"),
    RULE(segment_outside, "program header"), RULE(segment_wraps, "program header"),
    RULE(segment_filesz, "program header"), RULE(segment_huge, "program header"),
    RULE(segment_wraps_memory, "program header"), RULE(segment_far, "program header"),
    RULE(segments_overlap, "program header"), RULE(boot_name, VIGIL_BOOT_SECTION),
    RULE(boot_small, VIGIL_BOOT_SECTION), RULE(boot_outside, VIGIL_BOOT_SECTION), RULE(boot_odd, VIGIL_BOOT_SECTION),
    RULE(boot_magic, "another version"), RULE(relocation_type, "relocation"), RULE(relocation_symbol, "relocation"),
    RULE(relocation_outside, "relocation"), RULE(relocation_edge, "relocation"), RULE(relocation_at_end, "relocation"),
    RULE(relocations_outside, "relocation"), RULE(relocations_without_addend, "relocation"),
    RULE(relocations_packed, "relocation"), RULE(interpreter, "static PIE"), RULE(thread_local, "thread-local"),
};

/* Returns image_build's status; a success must be a whole image. */
static int try_build(const struct elf *elf, const struct vigil_config *config, struct image_error *error)
{
    struct image image;
    uint8_t mrenclave[32];

    if (image_build(&image, elf->data, elf->size, config, error))
        return -1;
    assert_int_equal(image_measure(&image, mrenclave, error), 0);
    image_free(&image);
    return 0;
}

static void each_rule_is_checked(void **state)
{
    struct vigil_config *config = fx_config(0);

    (void)state;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct image_error error = {""};
        struct elf elf;
        elf.data = fx_runtime_copy(&elf.size);
        assert_int_equal(try_build(&elf, config, &error), 0);
        rules[i].spoil(&elf);
        if (!try_build(&elf, config, &error))
            fail_msg("%s: accepted", rules[i].name);
        fx_check_message(&error, rules[i].says);
        fx_check_message(&error, "runtime");
        free(elf.data);
    }
    free(config);
}

/* Every length short of the whole file. The section headers are last, so none of them may pass. */
static void no_truncated_runtime_is_accepted(void **state)
{
    struct vigil_config *config = fx_config(0);
    size_t size;
    const uint8_t *whole = fx_runtime(&size);

    (void)state;
    for (size_t n = 0; n < size; n += n < 256 || n + 256 > size ? 1 : 61) {
        struct elf elf = {malloc(n ? n : 1), n}; /* exactly as large, so that a sanitizer sees every overrun */
        struct image_error error;
        memcpy(elf.data, whole, n);
        if (!try_build(&elf, config, &error))
            fail_msg("%zu of %zu bytes: accepted", n, size);
        free(elf.data);
    }
    free(config);
}

/* Every byte of the headers and relocations, three ways. Some changes are harmless; none may harm the builder. */
static void no_changed_header_harms_the_builder(void **state)
{
    static const uint8_t flips[] = {0x01, 0x80, 0xff};
    struct vigil_config *config = fx_config(0);
    struct image_error error;
    unsigned refused = 0;
    struct elf elf;

    (void)state;
    elf.data = fx_runtime_copy(&elf.size);
    const Elf64_Ehdr eh = *header(&elf);
    const Elf64_Shdr rela = *section(&elf, SHT_RELA, NULL);
    const struct { size_t start, length; } parts[] = {
        {0, sizeof(eh)},
        {eh.e_phoff, eh.e_phnum * sizeof(Elf64_Phdr)},
        {eh.e_shoff, eh.e_shnum * sizeof(Elf64_Shdr)},
        {rela.sh_offset, rela.sh_size},
    };
    for (size_t p = 0; p < sizeof(parts) / sizeof(parts[0]); p++)
        for (size_t i = parts[p].start; i < parts[p].start + parts[p].length; i++)
            for (size_t f = 0; f < sizeof(flips); f++) {
                elf.data[i] ^= flips[f];
                refused += try_build(&elf, config, &error) != 0;
                elf.data[i] ^= flips[f];
            }
    assert_true(refused > 100);
    assert_int_equal(try_build(&elf, config, &error), 0);
    free(elf.data);
    free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rule_is_checked),
        cmocka_unit_test(no_truncated_runtime_is_accepted),
        cmocka_unit_test(no_changed_header_harms_the_builder),
    };
    return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
