/* SPDX-License-Identifier: Apache-2.0
 *
 * The SGX architecture as data: structures, leaf numbers, bits and error codes. Nothing here executes.
 * Sources: Intel SDM vol. 3D chapters 34-40 and the AEX-Notify additions (EDECCSSA, GPRSGX.AEXNOTIFY).
 * Every offset that software can observe is asserted below. All integers are little endian. */
#ifndef SGX_ARCH_H
#define SGX_ARCH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define SGX_STATIC_ASSERT static_assert
extern "C" {
#else
#define SGX_STATIC_ASSERT _Static_assert
#endif

#define SGX_PAGE_SIZE 4096u
#define SGX_EEXTEND_SIZE 256u

/* ENCLU leaves (EAX). */
enum sgx_enclu {
    SGX_EREPORT = 0, SGX_EGETKEY = 1, SGX_EENTER = 2, SGX_ERESUME = 3, SGX_EEXIT = 4,
    SGX_EACCEPT = 5, SGX_EMODPE = 6, SGX_EACCEPTCOPY = 7, SGX_EVERIFYREPORT2 = 8, SGX_EDECCSSA = 9,
};

/* ATTRIBUTES.FLAGS */
#define SGX_ATTR_INIT          (1ull << 0)
#define SGX_ATTR_DEBUG         (1ull << 1)
#define SGX_ATTR_MODE64BIT     (1ull << 2)
#define SGX_ATTR_PROVISIONKEY  (1ull << 4)
#define SGX_ATTR_EINITTOKENKEY (1ull << 5)
#define SGX_ATTR_CET           (1ull << 6)
#define SGX_ATTR_KSS           (1ull << 7)
#define SGX_ATTR_AEXNOTIFY     (1ull << 10)
#define SGX_ATTR_KNOWN \
    (SGX_ATTR_INIT | SGX_ATTR_DEBUG | SGX_ATTR_MODE64BIT | SGX_ATTR_PROVISIONKEY | SGX_ATTR_EINITTOKENKEY | \
     SGX_ATTR_CET | SGX_ATTR_KSS | SGX_ATTR_AEXNOTIFY)

/* ATTRIBUTES.XFRM (XCR0 layout) */
#define SGX_XFRM_LEGACY 0x3ull
#define SGX_XFRM_AVX    0x4ull
#define SGX_XFRM_AVX512 0xe0ull

/* MISCSELECT */
#define SGX_MISC_EXINFO (1u << 0)
#define SGX_MISC_CPINFO (1u << 1)

/* TCS.FLAGS and TCS.STATE */
#define SGX_TCS_DBGOPTIN  (1ull << 0)
#define SGX_TCS_AEXNOTIFY (1ull << 1)
#define SGX_TCS_INACTIVE 0ull
#define SGX_TCS_ACTIVE   1ull

/* GPRSGX.AEXNOTIFY: only bit 0 is looked at, by ERESUME. */
#define SGX_AEXNOTIFY_ON 1u

/* EXITINFO */
#define SGX_EXITINFO_VECTOR(x) ((x) & 0xffu)
#define SGX_EXITINFO_TYPE(x)   (((x) >> 8) & 7u)
#define SGX_EXITINFO_VALID     (1u << 31)
#define SGX_EXIT_HARDWARE 3u
#define SGX_EXIT_SOFTWARE 6u

/* Exception vectors */
enum sgx_vector {
    SGX_VEC_DE = 0, SGX_VEC_DB = 1, SGX_VEC_BP = 3, SGX_VEC_BR = 5, SGX_VEC_UD = 6, SGX_VEC_NM = 7,
    SGX_VEC_GP = 13, SGX_VEC_PF = 14, SGX_VEC_MF = 16, SGX_VEC_AC = 17, SGX_VEC_XM = 19, SGX_VEC_CP = 21,
};

/* Page-fault error code bits (EXINFO.ERRCD of a #PF) */
#define SGX_PFEC_P   (1u << 0)
#define SGX_PFEC_W   (1u << 1)
#define SGX_PFEC_U   (1u << 2)
#define SGX_PFEC_I   (1u << 4)
#define SGX_PFEC_SGX (1u << 15)

/* SECINFO.FLAGS */
#define SGX_SECINFO_R        (1ull << 0)
#define SGX_SECINFO_W        (1ull << 1)
#define SGX_SECINFO_X        (1ull << 2)
#define SGX_SECINFO_PENDING  (1ull << 3)
#define SGX_SECINFO_MODIFIED (1ull << 4)
#define SGX_SECINFO_PR       (1ull << 5)
#define SGX_SECINFO_PT_SHIFT 8
#define SGX_SECINFO_PT_MASK  (0xffull << SGX_SECINFO_PT_SHIFT)
#define SGX_SECINFO_KNOWN    (0x3full | SGX_SECINFO_PT_MASK)
enum sgx_page_type {
    SGX_PT_SECS = 0, SGX_PT_TCS = 1, SGX_PT_REG = 2, SGX_PT_VA = 3, SGX_PT_TRIM = 4,
    SGX_PT_SS_FIRST = 5, SGX_PT_SS_REST = 6,
};
#define SGX_SECINFO_TCS  ((uint64_t)SGX_PT_TCS << SGX_SECINFO_PT_SHIFT)
#define SGX_SECINFO_REG  ((uint64_t)SGX_PT_REG << SGX_SECINFO_PT_SHIFT)
#define SGX_SECINFO_TRIM ((uint64_t)SGX_PT_TRIM << SGX_SECINFO_PT_SHIFT)

/* Error codes in RAX (ZF=1). The last four are from general knowledge, not from the SDM pages at hand. */
enum sgx_error {
    SGX_SUCCESS = 0, SGX_INVALID_SIG_STRUCT = 1, SGX_INVALID_ATTRIBUTE = 2, SGX_BLKSTATE = 3,
    SGX_INVALID_MEASUREMENT = 4, SGX_NOTBLOCKABLE = 5, SGX_PG_INVLD = 6, SGX_EPC_PAGE_CONFLICT = 7,
    SGX_INVALID_SIGNATURE = 8, SGX_MAC_COMPARE_FAIL = 9, SGX_PAGE_NOT_BLOCKED = 10, SGX_NOT_TRACKED = 11,
    SGX_VA_SLOT_OCCUPIED = 12, SGX_CHILD_PRESENT = 13, SGX_ENCLAVE_ACT = 14, SGX_ENTRYEPOCH_LOCKED = 15,
    SGX_INVALID_EINITTOKEN = 16, SGX_PREV_TRK_INCMPL = 17, SGX_PG_IS_SECS = 18,
    SGX_PAGE_ATTRIBUTES_MISMATCH = 19, SGX_PAGE_NOT_MODIFIABLE = 20, SGX_PAGE_NOT_DEBUGGABLE = 21,
    SGX_INVALID_CPUSVN = 32, SGX_INVALID_ISVSVN = 64, SGX_UNMASKED_EVENT = 128, SGX_INVALID_KEYNAME = 256,
};

struct sgx_attributes { uint64_t flags, xfrm; };

struct sgx_secs {
    uint64_t size, baseaddr;
    uint32_t ssaframesize /* pages */, miscselect;
    uint64_t cet_leg_bitmap_offset;
    uint8_t cet_attributes, reserved1[15];
    struct sgx_attributes attributes;
    uint8_t mrenclave[32], reserved2[32], mrsigner[32], reserved3[32], configid[64];
    uint16_t isvprodid, isvsvn, configsvn;
    uint8_t reserved4[3834];
};
SGX_STATIC_ASSERT(sizeof(struct sgx_secs) == SGX_PAGE_SIZE, "SECS");
SGX_STATIC_ASSERT(offsetof(struct sgx_secs, attributes) == 48, "SECS");
SGX_STATIC_ASSERT(offsetof(struct sgx_secs, mrenclave) == 64, "SECS");
SGX_STATIC_ASSERT(offsetof(struct sgx_secs, mrsigner) == 128, "SECS");
SGX_STATIC_ASSERT(offsetof(struct sgx_secs, configid) == 192, "SECS");
SGX_STATIC_ASSERT(offsetof(struct sgx_secs, isvprodid) == 256, "SECS");
SGX_STATIC_ASSERT(offsetof(struct sgx_secs, configsvn) == 260, "SECS");

struct sgx_tcs {
    uint64_t state, flags, ossa;
    uint32_t cssa, nssa;
    uint64_t oentry, aep, ofsbase, ogsbase;
    uint32_t fslimit, gslimit;
    uint64_t ocetssa, prevssp;
    uint8_t reserved[4008];
};
SGX_STATIC_ASSERT(sizeof(struct sgx_tcs) == SGX_PAGE_SIZE, "TCS");
SGX_STATIC_ASSERT(offsetof(struct sgx_tcs, ossa) == 16 && offsetof(struct sgx_tcs, cssa) == 24, "TCS");
SGX_STATIC_ASSERT(offsetof(struct sgx_tcs, oentry) == 32 && offsetof(struct sgx_tcs, aep) == 40, "TCS");
SGX_STATIC_ASSERT(offsetof(struct sgx_tcs, ofsbase) == 48 && offsetof(struct sgx_tcs, fslimit) == 64, "TCS");
SGX_STATIC_ASSERT(offsetof(struct sgx_tcs, ocetssa) == 72 && offsetof(struct sgx_tcs, reserved) == 88, "TCS");

/* The last 184 bytes of an SSA frame. */
struct sgx_gprsgx {
    uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rflags, rip, ursp, urbp;
    uint32_t exitinfo;
    uint8_t reserved[3], aexnotify;
    uint64_t fsbase, gsbase;
};
SGX_STATIC_ASSERT(sizeof(struct sgx_gprsgx) == 184, "GPRSGX");
SGX_STATIC_ASSERT(offsetof(struct sgx_gprsgx, r8) == 64 && offsetof(struct sgx_gprsgx, rflags) == 128, "GPRSGX");
SGX_STATIC_ASSERT(offsetof(struct sgx_gprsgx, rip) == 136 && offsetof(struct sgx_gprsgx, ursp) == 144, "GPRSGX");
SGX_STATIC_ASSERT(offsetof(struct sgx_gprsgx, exitinfo) == 160, "GPRSGX");
SGX_STATIC_ASSERT(offsetof(struct sgx_gprsgx, aexnotify) == 167, "GPRSGX");
SGX_STATIC_ASSERT(offsetof(struct sgx_gprsgx, fsbase) == 168 && offsetof(struct sgx_gprsgx, gsbase) == 176, "GPRSGX");

/* Directly below GPRSGX when MISCSELECT.EXINFO is set. */
struct sgx_exinfo { uint64_t maddr; uint32_t errcd, reserved; };
SGX_STATIC_ASSERT(sizeof(struct sgx_exinfo) == 16, "EXINFO");

/* XSAVE area (standard format): the parts that have fixed places. */
#define SGX_XSAVE_FCW 0
#define SGX_XSAVE_FSW 2
#define SGX_XSAVE_MXCSR 24
#define SGX_XSAVE_HEADER 512
#define SGX_XSAVE_MIN 576

struct sgx_secinfo { uint64_t flags; uint8_t reserved[56]; };
SGX_STATIC_ASSERT(sizeof(struct sgx_secinfo) == 64, "SECINFO");

struct sgx_pageinfo { uint64_t linaddr, srcpge, secinfo, secs; };
SGX_STATIC_ASSERT(sizeof(struct sgx_pageinfo) == 32, "PAGEINFO");

#pragma pack(push, 1)
struct sgx_sigstruct {
    uint8_t header[16];
    uint32_t vendor, date /* BCD yyyymmdd */;
    uint8_t header2[16];
    uint32_t swdefined;
    uint8_t reserved1[84];
    uint8_t modulus[384] /* little endian */;
    uint32_t exponent;
    uint8_t signature[384];
    uint32_t miscselect, miscmask;
    uint8_t cet_attributes, cet_attributes_mask, reserved2[2];
    uint8_t isvfamilyid[16];
    struct sgx_attributes attributes, attributemask;
    uint8_t enclavehash[32];
    uint8_t reserved3[16], isvextprodid[16];
    uint16_t isvprodid, isvsvn;
    uint8_t reserved4[12];
    uint8_t q1[384], q2[384];
};
#pragma pack(pop)
SGX_STATIC_ASSERT(sizeof(struct sgx_sigstruct) == 1808, "SIGSTRUCT");
SGX_STATIC_ASSERT(offsetof(struct sgx_sigstruct, modulus) == 128, "SIGSTRUCT");
SGX_STATIC_ASSERT(offsetof(struct sgx_sigstruct, exponent) == 512, "SIGSTRUCT");
SGX_STATIC_ASSERT(offsetof(struct sgx_sigstruct, miscselect) == 900, "SIGSTRUCT");
SGX_STATIC_ASSERT(offsetof(struct sgx_sigstruct, isvfamilyid) == 912, "SIGSTRUCT");
SGX_STATIC_ASSERT(offsetof(struct sgx_sigstruct, attributes) == 928, "SIGSTRUCT");
SGX_STATIC_ASSERT(offsetof(struct sgx_sigstruct, attributemask) == 944, "SIGSTRUCT");
SGX_STATIC_ASSERT(offsetof(struct sgx_sigstruct, enclavehash) == 960, "SIGSTRUCT");
SGX_STATIC_ASSERT(offsetof(struct sgx_sigstruct, isvprodid) == 1024, "SIGSTRUCT");
SGX_STATIC_ASSERT(offsetof(struct sgx_sigstruct, q1) == 1040, "SIGSTRUCT");
SGX_STATIC_ASSERT(offsetof(struct sgx_sigstruct, q2) == 1424, "SIGSTRUCT");
/* The signature covers [0, SGX_SIGNED_1) and [SGX_SIGNED_2, SGX_SIGNED_2_END). */
#define SGX_SIGNED_1 128u
#define SGX_SIGNED_2 900u
#define SGX_SIGNED_2_END 1028u

struct sgx_report {
    uint8_t cpusvn[16];
    uint32_t miscselect;
    uint8_t cet_attributes, reserved1[11], isvextprodid[16];
    struct sgx_attributes attributes;
    uint8_t mrenclave[32], reserved2[32], mrsigner[32], reserved3[32], configid[64];
    uint16_t isvprodid, isvsvn, configsvn;
    uint8_t reserved4[42], isvfamilyid[16], reportdata[64];
    uint8_t keyid[32], mac[16] /* CMAC over the bytes before keyid */;
};
SGX_STATIC_ASSERT(sizeof(struct sgx_report) == 432, "REPORT");
SGX_STATIC_ASSERT(offsetof(struct sgx_report, isvextprodid) == 32, "REPORT");
SGX_STATIC_ASSERT(offsetof(struct sgx_report, attributes) == 48, "REPORT");
SGX_STATIC_ASSERT(offsetof(struct sgx_report, mrsigner) == 128, "REPORT");
SGX_STATIC_ASSERT(offsetof(struct sgx_report, configid) == 192, "REPORT");
SGX_STATIC_ASSERT(offsetof(struct sgx_report, isvfamilyid) == 304, "REPORT");
SGX_STATIC_ASSERT(offsetof(struct sgx_report, reportdata) == 320, "REPORT");
SGX_STATIC_ASSERT(offsetof(struct sgx_report, keyid) == 384 && offsetof(struct sgx_report, mac) == 416, "REPORT");

struct sgx_targetinfo {
    uint8_t measurement[32];
    struct sgx_attributes attributes;
    uint8_t cet_attributes, reserved1;
    uint16_t configsvn;
    uint32_t miscselect;
    uint8_t reserved2[8], configid[64], reserved3[384];
};
SGX_STATIC_ASSERT(sizeof(struct sgx_targetinfo) == 512, "TARGETINFO");
SGX_STATIC_ASSERT(offsetof(struct sgx_targetinfo, configsvn) == 50, "TARGETINFO");
SGX_STATIC_ASSERT(offsetof(struct sgx_targetinfo, configid) == 64, "TARGETINFO");

enum sgx_keyname {
    SGX_KEY_EINITTOKEN = 0, SGX_KEY_PROVISION = 1, SGX_KEY_PROVISION_SEAL = 2, SGX_KEY_REPORT = 3, SGX_KEY_SEAL = 4,
};
#define SGX_KEYPOLICY_MRENCLAVE    (1u << 0)
#define SGX_KEYPOLICY_MRSIGNER     (1u << 1)
#define SGX_KEYPOLICY_NOISVPRODID  (1u << 2)
#define SGX_KEYPOLICY_CONFIGID     (1u << 3)
#define SGX_KEYPOLICY_ISVFAMILYID  (1u << 4)
#define SGX_KEYPOLICY_ISVEXTPRODID (1u << 5)

struct sgx_keyrequest {
    uint16_t keyname, keypolicy, isvsvn, reserved1;
    uint8_t cpusvn[16];
    struct sgx_attributes attributemask;
    uint8_t keyid[32];
    uint32_t miscmask;
    uint16_t configsvn;
    uint8_t reserved2[434];
};
SGX_STATIC_ASSERT(sizeof(struct sgx_keyrequest) == 512, "KEYREQUEST");
SGX_STATIC_ASSERT(offsetof(struct sgx_keyrequest, attributemask) == 24, "KEYREQUEST");
SGX_STATIC_ASSERT(offsetof(struct sgx_keyrequest, keyid) == 40, "KEYREQUEST");
SGX_STATIC_ASSERT(offsetof(struct sgx_keyrequest, configsvn) == 76, "KEYREQUEST");

#ifdef __cplusplus
}
#endif
#endif
