/* SPDX-License-Identifier: Apache-2.0
 *
 * As much of the instruction set as the driver has to recognise at a faulting RIP. */
#include "softsgx/trap.h"

#include <string.h>

#define INT3 0xcc

unsigned sgx_trap_code(const struct softsgx_enclave *enclave, uint64_t address, uint8_t *out, unsigned n)
{
    uint64_t offset = address - sgx_enclave_base(enclave), size = sgx_enclave_size(enclave);

    if (offset >= size)
        return 0;
    if (n > size - offset)
        n = (unsigned)(size - offset);
    if (!sgx_epc_read(enclave, address, out, n))
        return 0;
    sgx_trap_break_hide(enclave, address, out, n);
    sgx_fast_hide(enclave, address, out, n);
    return n;
}

/* A debugger may put a breakpoint on an ENCLU after it has been executed and before we look: gdb does, when the signal of
 * an instruction it steps arrives. What has raised a fault was no INT3. */
static bool is_enclu(const volatile uint8_t *p)
{
    return (p[0] == 0x0f || p[0] == INT3) && p[1] == 0x01 && p[2] == 0xd7;
}

/* Host code is read byte by byte: the processor has decoded it up to where it cannot be an ENCLU any more, so nothing
 * is touched that may not be there. */
static bool host_is_enclu(uint64_t rip)
{
    return rip < TRAP_USER_END && is_enclu((const volatile uint8_t *)rip);
}

bool sgx_trap_is_enclu(const struct softsgx_enclave *enclave, uint64_t rip)
{
    uint8_t code[3];

    if (!enclave)
        return host_is_enclu(rip);
    return sgx_trap_code(enclave, rip, code, 3) == 3 && is_enclu(code);
}

static unsigned skip_prefixes(const uint8_t *code, unsigned n)
{
    unsigned i = 0;

    while (i < n) {
        switch (code[i]) {
        case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0x66: case 0x67:
        case 0xf0: case 0xf2: case 0xf3:
            i++;
            continue;
        }
        break;
    }
    if (i < n && (code[i] & 0xf0) == 0x40)
        i++;
    return i;
}

static unsigned modrm_reg(const uint8_t *code, unsigned n, unsigned i)
{
    return i < n ? (code[i] >> 3) & 7u : 8;
}

static bool illegal_two_byte(const uint8_t *code, unsigned n, unsigned i)
{
    unsigned reg = modrm_reg(code, n, i + 1);

    switch (i < n ? code[i] : 0) {
    case 0x00: /* SLDT, STR */
        return reg <= 1;
    case 0x01: /* SGDT, SIDT, SMSW; register forms of the first two are other instructions */
        return reg == 4 || (reg <= 1 && code[i + 1] < 0xc0);
    case 0x05: case 0x33: case 0x34: case 0x37: case 0xa1: case 0xa2: case 0xa9: case 0xb2: case 0xb4: case 0xb5:
        return true; /* SYSCALL RDPMC SYSENTER GETSEC POP-FS CPUID POP-GS LSS LFS LGS */
    default:
        return false;
    }
}

bool sgx_trap_illegal_inside(const uint8_t *code, unsigned n)
{
    unsigned i = skip_prefixes(code, n), reg = modrm_reg(code, n, i + 1);

    switch (i < n ? code[i] : 0) {
    case 0x0f:
        return illegal_two_byte(code, n, i + 1);
    case 0x6c: case 0x6d: case 0x6e: case 0x6f:                 /* INS, OUTS */
    case 0xe4: case 0xe5: case 0xe6: case 0xe7:                 /* IN, OUT */
    case 0xec: case 0xed: case 0xee: case 0xef:
    case 0x8e: case 0xca: case 0xcb: case 0xcd: case 0xcf:      /* MOV Sreg, far RET, INT n, IRET */
        return true;
    case 0xff: /* far CALL, far JMP */
        return reg == 3 || reg == 5;
    default:
        return false;
    }
}

bool sgx_trap_is_pushf(const uint8_t *code, unsigned n)
{
    unsigned i = skip_prefixes(code, n);

    return i < n && code[i] == 0x9c;
}
