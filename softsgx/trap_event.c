/* SPDX-License-Identifier: Apache-2.0
 *
 * From a signal to the architectural event that the enclave's exit has to report. */
#include "softsgx/trap.h"

#include <string.h>

/* Copies n bytes of code at rip, which may be enclave memory that is not readable here. False if it is out of range. */
static bool code_bytes(uint64_t rip, uint8_t *bytes, size_t n)
{
    struct softsgx_enclave *enclave = sgx_enclave_at(rip);
    if (!enclave)
        return false;
    uint64_t offset = rip - sgx_enclave_base(enclave);
    if (sgx_enclave_size(enclave) - offset < n)
        return false;
    memcpy(bytes, sgx_enclave_alias(enclave) + offset, n);
    return true;
}

bool trap_is_enclu(uint64_t rip)
{
    static const uint8_t enclu[3] = {0x0f, 0x01, 0xd7};
    uint8_t bytes[3];

    if (sgx_enclave_at(rip))
        return code_bytes(rip, bytes, 3) && !memcmp(bytes, enclu, 3);
    /* Host code that has just been fetched; byte by byte, so as not to run over the end of its page. */
    const uint8_t *p = (const uint8_t *)rip;
    return p[0] == enclu[0] && p[1] == enclu[1] && p[2] == enclu[2];
}

static bool is_prefix(uint8_t b)
{
    return b == 0x66 || b == 0x67 || b == 0xf0 || b == 0xf2 || b == 0xf3 || b == 0x2e || b == 0x36 || b == 0x3e ||
           b == 0x26 || b == 0x64 || b == 0x65 || (b & 0xf0) == 0x40;
}

/* Instructions that are illegal in an enclave (#UD) and that an ordinary process sees fail with #GP. */
static bool illegal_in_enclave(uint64_t rip)
{
    uint8_t code[15];

    if (!code_bytes(rip, code, sizeof(code)))
        return false;
    int i = 0;
    while (i < 13 && is_prefix(code[i]))
        i++;
    switch (code[i]) {
    case 0x6c: case 0x6d: case 0x6e: case 0x6f:             /* INS, OUTS */
    case 0xe4: case 0xe5: case 0xe6: case 0xe7:             /* IN, OUT imm8 */
    case 0xec: case 0xed: case 0xee: case 0xef:             /* IN, OUT DX */
    case 0xcd: case 0xcf: case 0xca: case 0xcb:             /* INT n, IRET, far RET */
        return true;
    case 0x8e:                                              /* MOV to a segment register */
        return true;
    case 0xff:                                              /* far CALL, far JMP */
        return ((code[i + 1] >> 3) & 7) == 3 || ((code[i + 1] >> 3) & 7) == 5;
    case 0x0f:
        return code[i + 1] == 0x00 || code[i + 1] == 0x34 || code[i + 1] == 0x37 ||   /* SLDT STR, SYSENTER, GETSEC */
               code[i + 1] == 0x33 ||                                                 /* RDPMC */
               (code[i + 1] == 0x01 && code[i + 2] < 0xc0);                           /* SGDT SIDT SMSW */
    default:
        return false;
    }
}

struct sgx_event trap_event(struct trap_slot *slot, int sig, ucontext_t *uc)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    struct sgx_event event = {.vector = (int)regs[REG_TRAPNO]};

    /* `syscall`, caught by the seccomp filter: RIP is already behind it (2 bytes, as `int $0x80`). */
    if (sig == SIGSYS) {
        regs[REG_RIP] -= 2;
        regs[REG_TRAPNO] = SGX_VEC_UD;
        return (struct sgx_event){.vector = SGX_VEC_UD};
    }
    /* Code outside ELRANGE was reached in enclave mode: the fetch is a #GP. */
    if (sgx_enclave_at((uint64_t)regs[REG_RIP]) != slot->cpu.enclave)
        return (struct sgx_event){.vector = SGX_VEC_GP};
    switch (event.vector) {
    case SGX_VEC_BP:
        regs[REG_RIP] -= 1; /* Linux reports it as a trap, inside an enclave it is a fault */
        break;
    case SGX_VEC_PF:
        event.address = (uint64_t)regs[REG_CR2];
        event.error_code = sgx_pf_error_code(slot->cpu.enclave, event.address, (uint32_t)regs[REG_ERR]);
        break;
    case SGX_VEC_GP:
        if (illegal_in_enclave((uint64_t)regs[REG_RIP]))
            event.vector = SGX_VEC_UD;
        else
            event.error_code = (uint32_t)regs[REG_ERR];
        break;
    default:
        break;
    }
    return event;
}
