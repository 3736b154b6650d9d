/* SPDX-License-Identifier: Apache-2.0
 *
 * Internal to softsgx: the seam between the semantics (leaf_*.c, aex.c, epcm.c, measure.c: pure C, no traps, testable
 * with an invented register file) and the trap driver (trap_*.c: signals to events, register file to signal frame). */
#ifndef SOFTSGX_CPU_H
#define SOFTSGX_CPU_H

#include "softsgx/softsgx.h"

enum sgx_gpr {   /* the order of GPRSGX */
    SGX_RAX, SGX_RCX, SGX_RDX, SGX_RBX, SGX_RSP, SGX_RBP, SGX_RSI, SGX_RDI,
    SGX_R8, SGX_R9, SGX_R10, SGX_R11, SGX_R12, SGX_R13, SGX_R14, SGX_R15, SGX_GPR_COUNT,
};

/* One logical processor: the architectural state that leaves and AEX read and write. */
struct sgx_cpu {
    uint64_t gpr[SGX_GPR_COUNT], rip, rflags, fsbase, gsbase;
    uint64_t xcr0;        /* what the machine has enabled; XRSTOR never touches more */
    void *xsave;          /* live extended state, standard-format XSAVE image, 64-byte aligned, for features xcr0 */
    uint32_t xsave_size;

    /* Enclave mode: the CR_* registers of the SDM. */
    bool enclave_mode;
    struct softsgx_enclave *enclave; /* CR_ACTIVE_SECS */
    uint64_t tcs;                    /* CR_TCS_LA */
    uint64_t saved_fsbase, saved_gsbase, saved_xcr0;
    bool dbgoptin, saved_tf;
    uint32_t epoch;                  /* in which it entered (track.c) */

    /* Set by every leaf that completes and by AEX, for the driver. */
    bool pending_db;   /* a single-step #DB pends at the instruction boundary after the leaf */
    bool notified;     /* the leaf was an ERESUME that AEX-Notify turned into an entry */
    uint64_t cr2;      /* after the AEX of a #PF: CR2 as the host may see it, page offset cleared */
};

struct sgx_fault { uint8_t vector; uint32_t error_code; uint64_t address; };

/* An event that ends enclave mode. vector < 0: an interrupt (nothing is reported in EXITINFO). */
struct sgx_event { int vector; uint32_t error_code; uint64_t address; };

/* Executes the ENCLU at cpu->rip (3 bytes). true: done, rip and registers updated. false: *fault is raised by the
 * instruction, cpu unchanged (if it was in enclave mode the caller turns the fault into an AEX). Before a leaf is
 * executed outside enclave mode the enclave is found from RBX by address. */
bool sgx_enclu(struct sgx_cpu *cpu, struct sgx_fault *fault);
/* Asynchronous exit. cpu->rip, rflags are those to be saved. Needs enclave_mode. */
void sgx_aex(struct sgx_cpu *cpu, const struct sgx_event *event);
/* #PF error code bits softsgx must add for an access to address (PFEC.SGX, P). */
uint32_t sgx_pf_error_code(const struct softsgx_enclave *enclave, uint64_t address, uint32_t host_error_code);

/* What a kernel does about a #PF of the enclave whose page is not there (EAUG, like Linux's SGX driver). true: the page
 * has been added, or is there by now: the access is to be restarted. false: a fault like any other; *no_memory if only
 * for want of EPC. Lock free. */
bool sgx_augment_fault(struct softsgx_enclave *enclave, uint64_t address, uint32_t error_code, bool *no_memory);

/* The enclave that contains this linear address, or NULL. Lock free: called from signal handlers. */
struct softsgx_enclave *sgx_enclave_at(uint64_t address);
/* ELRANGE and the EPC alias of it: alias + (address - base) is the page's content, always readable and writable. Pages
 * without one (private.c) are read and written by sgx_epc_read() and its kin. */
uint64_t sgx_enclave_base(const struct softsgx_enclave *enclave);
uint64_t sgx_enclave_size(const struct softsgx_enclave *enclave);
uint8_t *sgx_enclave_alias(const struct softsgx_enclave *enclave);
/* Any page's content, whatever its permissions are. Lock free. false: the kernel refused, which it does not. */
bool sgx_epc_read(const struct softsgx_enclave *enclave, uint64_t address, void *buf, uint64_t length);
bool sgx_epc_write(const struct softsgx_enclave *enclave, uint64_t address, const void *buf, uint64_t length);
/* One byte, if it is `from`. */
bool sgx_epc_replace(const struct softsgx_enclave *enclave, uint64_t address, uint8_t from, uint8_t to);

/* The mapping's own data about an enclave. */
void *sgx_enclave_mapping(const struct softsgx_enclave *enclave);
void sgx_enclave_set_mapping(struct softsgx_enclave *enclave, void *mapping);
bool sgx_enclave_initialised(const struct softsgx_enclave *enclave);
uint64_t sgx_lowest_mappable(void); /* the host kernel maps nothing below this address */

/* The semantics call this whenever what the enclave may do with a page range changes; the trap driver mprotects the
 * mapping at the linear address. prot = EPCM and page table combined. Tests install their own. */
struct sgx_mapping_ops {
    int (*reserve)(struct softsgx_enclave *enclave, int memfd);            /* map [base,size) PROT_NONE */
    int (*protect)(struct softsgx_enclave *enclave, uint64_t address, uint64_t length, int prot);
    void (*release)(struct softsgx_enclave *enclave);
    /* What is behind the range becomes memfd, at its offset in the enclave; -1: private anonymous memory. PROT_NONE. May be
     * NULL. Called in handlers. */
    int (*back)(struct softsgx_enclave *enclave, uint64_t address, uint64_t length, int memfd);
    /* An interrupt (AEX) of every thread that is inside: an IPI. Returns when they have been sent. May be NULL. */
    void (*interrupt)(struct softsgx_enclave *enclave);
};
void sgx_set_mapping_ops(const struct sgx_mapping_ops *ops); /* NULL: no mapping at all (unit tests) */

#endif
