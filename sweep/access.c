/* SPDX-License-Identifier: Apache-2.0
 *
 * Which page an instruction is about to access. Zydis decodes. */
#include "sweep/sweep.h"
#include "vigil/layout.h"

#include <Zydis/Zydis.h>
#include <ucontext.h>

static uint64_t register_value(const struct softsgx_boundary *b, ZydisRegister reg)
{
    static const uint8_t order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                      REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

    switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_GPR64:
        return (uint64_t)b->uc->uc_mcontext.gregs[order[ZydisRegisterGetId(reg) & 15]];
    case ZYDIS_REGCLASS_GPR32:
        return (uint32_t)b->uc->uc_mcontext.gregs[order[ZydisRegisterGetId(reg) & 15]];
    default:
        return 0;
    }
}

static uint64_t address_of(const struct softsgx_boundary *b, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o)
{
    const ZydisDecodedOperandMem *m = &o->mem;
    uint64_t address = m->disp.has_displacement ? (uint64_t)m->disp.value : 0;

    if (m->base == ZYDIS_REGISTER_RIP)
        return address + b->rip + z->length;
    address += register_value(b, m->base) + register_value(b, m->index) * m->scale;
    /* A push writes below RSP. */
    if (o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN && m->base == ZYDIS_REGISTER_RSP &&
        (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
        address -= 8;
    return address;
}

/* An operand whose address we can tell: FS and GS bases are not in the frame, gathers have many addresses. */
static bool is_access(const ZydisDecodedOperand *o)
{
    return o->type == ZYDIS_OPERAND_TYPE_MEMORY && o->mem.type == ZYDIS_MEMOP_TYPE_MEM &&
           (o->actions & (ZYDIS_OPERAND_ACTION_MASK_READ | ZYDIS_OPERAND_ACTION_MASK_WRITE)) &&
           o->mem.segment != ZYDIS_REGISTER_FS && o->mem.segment != ZYDIS_REGISTER_GS;
}

static bool in_application(uint64_t address)
{
    return address >= VIGIL_APP_START && address < sweep_map.runtime_low;
}

uint64_t sweep_accessed_page(const struct softsgx_boundary *b, bool with_code)
{
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
    ZydisDecodedInstruction z;
    ZydisDecoder decoder;
    uint8_t code[15];

    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    if (softsgx_debug_read(b->enclave, b->rip, code, sizeof(code)) ||
        !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, sizeof(code), &z, operand)))
        return 0;
    for (unsigned i = 0; i < z.operand_count; i++) {
        if (!is_access(&operand[i]))
            continue;
        uint64_t address = address_of(b, &z, &operand[i]);
        if (in_application(address))
            return address & -(uint64_t)VIGIL_PAGE;
    }
    return with_code && in_application(b->rip) ? b->rip & -(uint64_t)VIGIL_PAGE : 0;
}
