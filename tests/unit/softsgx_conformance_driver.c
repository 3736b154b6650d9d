/* SPDX-License-Identifier: Apache-2.0
 *
 * Dynamic memory, what it takes more than one leaf to show: tracking, conflicts, the Linux driver's ioctls and page faults,
 * and the flows that enclaves use. */
#include "softsgx_conformance.h"

#include <asm/sgx.h>
#include <errno.h>

#define HEAP(n)  (FX_BASE + FX_HEAP + (n) * SGX_PAGE_SIZE)
#define FRESH(n) (FX_BASE + 0x40000 + (n) * SGX_PAGE_SIZE) /* never added */
#define SECINFO  (FX_DATA + 0x100)
#define REG  ((uint32_t)SGX_SECINFO_REG)
#define TCS  ((uint32_t)SGX_SECINFO_TCS)
#define TRIM ((uint32_t)SGX_SECINFO_TRIM)
#define RW   (EPCM_R | EPCM_W)

static struct fx fx;

static void row(const char *name)
{
    conformance_row(name);
    conformance_edmm_rows++;
}

#define EXPECT(name, have, want) \
    do { \
        long have_ = (long)(have), want_ = (long)(want); \
        row(name); \
        if (have_ != want_) \
            fail_msg("%s: %ld (0x%lx), should be %ld (0x%lx)", name, have_, have_, want_, want_); \
    } while (0)

static uint32_t entry(uint64_t address)
{
    return sgx_epcm_get(fx.enclave, address);
}

/* An unprivileged leaf with this SECINFO and target: RAX, or minus the vector of the fault. */
static long leaf(uint32_t number, uint64_t flags, uint64_t target)
{
    struct sgx_secinfo secinfo = { .flags = flags };

    memcpy(sgx_enclave_alias(fx.enclave) + SECINFO, &secinfo, sizeof(secinfo));
    fx.cpu.gpr[SGX_RBX] = FX_BASE + SECINFO;
    fx.cpu.gpr[SGX_RCX] = target;
    if (!fx_leaf(&fx, number))
        return -(long)fx.fault.vector;
    return (long)fx.cpu.gpr[SGX_RAX];
}

static long accept(uint64_t flags, uint64_t target)
{
    return leaf(SGX_EACCEPT, flags, target);
}

/* ---- tracking ---- */

/* Another logical processor: enters and leaves by the counters that EENTER and AEX use. */
void test_edmm_tracking(void **state)
{
    const struct sgx_secinfo none = { .flags = EPCM_R };
    uint32_t other;

    (void)state;
    fx_open(&fx, &kinds[KIND_PLAIN]);
    EXPECT("nobody is inside before EENTER", sgx_track_inside(fx.enclave), 0);
    fx_enter(&fx);
    EXPECT("EENTER counts", sgx_track_inside(fx.enclave), 1);
    fx_interrupt(&fx);
    EXPECT("AEX counts", sgx_track_inside(fx.enclave), 0);
    fx_must(&fx, SGX_ERESUME);
    EXPECT("ERESUME counts", sgx_track_inside(fx.enclave), 1);
    fx.cpu.gpr[SGX_RBX] = FX_AEP;
    fx_must(&fx, SGX_EEXIT);
    EXPECT("EEXIT counts", sgx_track_inside(fx.enclave), 0);
    fx_enter(&fx);
    fx_enclave_registers(&fx);

    other = sgx_track_enter(fx.enclave);
    EXPECT("EMODPR", sgx_emodpr(fx.enclave, HEAP(0), &none), 0);
    EXPECT("before ETRACK nothing is tracked", accept(REG | EPCM_R | EPCM_PR, HEAP(0)), SGX_NOT_TRACKED);
    EXPECT("ETRACK", sgx_etrack(fx.enclave), 0);
    EXPECT("two threads are still inside", accept(REG | EPCM_R | EPCM_PR, HEAP(0)), SGX_NOT_TRACKED);
    sgx_track_leave(fx.enclave, other);
    EXPECT("one is still inside", accept(REG | EPCM_R | EPCM_PR, HEAP(0)), SGX_NOT_TRACKED);
    EXPECT("a second ETRACK while it is", sgx_etrack(fx.enclave), SGX_PREV_TRK_INCMPL);
    fx_interrupt(&fx);
    fx_must(&fx, SGX_ERESUME);
    fx_enclave_registers(&fx);
    EXPECT("out and in again: all is tracked", accept(REG | EPCM_R | EPCM_PR, HEAP(0)), 0);
    EXPECT("and the restriction is in force", entry(HEAP(0)) & EPCM_SGX, EPCM_VALID | REG | EPCM_R);
    EXPECT("the next ETRACK", sgx_etrack(fx.enclave), 0);
    EXPECT("a change of the present epoch is not tracked by the last ETRACK",
           (sgx_emodpr(fx.enclave, HEAP(1), &none), accept(REG | EPCM_R | EPCM_PR, HEAP(1))), SGX_NOT_TRACKED);
    other = sgx_track_enter(fx.enclave);
    fx_interrupt(&fx);
    fx_must(&fx, SGX_ERESUME);
    fx_enclave_registers(&fx);
    EXPECT("ETRACK after it", sgx_etrack(fx.enclave), 0);
    fx_interrupt(&fx);
    fx_must(&fx, SGX_ERESUME);
    fx_enclave_registers(&fx);
    EXPECT("who entered before that ETRACK is in the way", accept(REG | EPCM_R | EPCM_PR, HEAP(1)), SGX_NOT_TRACKED);
    sgx_track_leave(fx.enclave, other);
    EXPECT("until it leaves", accept(REG | EPCM_R | EPCM_PR, HEAP(1)), 0);
    fx_close(&fx);
}

/* ---- conflicts: another leaf comes while the first has the page ---- */

static int (*meanwhile)(void);
static long conflict, protect_error;

static int op_reserve(struct softsgx_enclave *e, int memfd)
{
    (void)e, (void)memfd;
    return 0;
}

static int op_protect(struct softsgx_enclave *e, uint64_t address, uint64_t length, int prot)
{
    int (*now)(void) = meanwhile;

    (void)e, (void)address, (void)length, (void)prot;
    meanwhile = NULL;
    if (now)
        conflict = now();
    return (int)protect_error;
}

static void op_release(struct softsgx_enclave *e)
{
    (void)e;
}

static const struct sgx_mapping_ops ops = { .reserve = op_reserve, .protect = op_protect, .release = op_release };

static int other_emodpr(void)
{
    return sgx_emodpr(fx.enclave, HEAP(0), &(struct sgx_secinfo){ .flags = EPCM_R });
}

static int other_emodt(void)
{
    return sgx_emodt(fx.enclave, HEAP(0), &(struct sgx_secinfo){ .flags = TRIM });
}

static int other_eremove(void)
{
    return sgx_eremove(fx.enclave, HEAP(0));
}

static int other_eaug(void)
{
    return sgx_eaug(fx.enclave, HEAP(0));
}

static int other_emodpe(void)
{
    struct fx second = fx; /* another processor, in the same enclave */
    struct sgx_secinfo secinfo = { .flags = REG | EPCM_X };

    memcpy(sgx_enclave_alias(fx.enclave) + SECINFO + 64, &secinfo, sizeof(secinfo));
    second.cpu.xsave = second.xsave;
    second.cpu.gpr[SGX_RBX] = FX_BASE + SECINFO + 64;
    second.cpu.gpr[SGX_RCX] = HEAP(0);
    return fx_leaf(&second, SGX_EMODPE) ? 0 : second.fault.vector;
}

void test_edmm_conflicts(void **state)
{
    static const struct { const char *name; int (*leaf)(void); long want; } rows[] = {
        { "EMODPR meets EMODPR", other_emodpr, SGX_EPC_PAGE_CONFLICT },
        { "EMODPR meets EMODT", other_emodt, SGX_EPC_PAGE_CONFLICT },
        { "EMODPR meets EREMOVE", other_eremove, SGX_EPC_PAGE_CONFLICT },
        { "EMODPR meets EAUG", other_eaug, SGX_EPC_PAGE_CONFLICT },
        { "EMODPR meets EMODPE", other_emodpe, SGX_VEC_GP },
    };
    static const struct { const char *name; int (*leaf)(void); long want; } inside[] = {
        { "EMODPE meets EMODPR", other_emodpr, SGX_EPC_PAGE_CONFLICT },
        { "EMODPE meets EMODPE", other_emodpe, SGX_VEC_GP },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sgx_set_mapping_ops(&ops);
        bring_to(&fx, KIND_PLAIN, INSIDE);
        conflict = -1;
        meanwhile = rows[i].leaf;
        assert_int_equal(sgx_emodpr(fx.enclave, HEAP(0), &(struct sgx_secinfo){ .flags = EPCM_R }), 0);
        EXPECT(rows[i].name, conflict, rows[i].want);
        assert_int_equal(entry(HEAP(0)) & (EPCM_SGX | EPCM_BUSY), EPCM_VALID | REG | EPCM_R | EPCM_PR);
        fx_close(&fx);
    }
    for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
        sgx_set_mapping_ops(&ops);
        bring_to(&fx, KIND_PLAIN, INSIDE);
        conflict = -1;
        meanwhile = inside[i].leaf;
        assert_int_equal(leaf(SGX_EMODPE, REG | EPCM_X, HEAP(0)), SGX_EMODPE);
        EXPECT(inside[i].name, conflict, inside[i].want);
        assert_int_equal(entry(HEAP(0)) & (EPCM_SGX | EPCM_BUSY), EPCM_VALID | REG | EPCM_RWX);
        fx_close(&fx);
    }
    sgx_set_mapping_ops(&ops);
    bring_to(&fx, KIND_PLAIN, INSIDE);
    uint32_t before = entry(HEAP(0));
    protect_error = -ENOMEM;
    EXPECT("a mapping that cannot be made: EMODPR", sgx_emodpr(fx.enclave, HEAP(0), &(struct sgx_secinfo){ .flags = EPCM_R }), -ENOMEM);
    EXPECT("the page is as it was", entry(HEAP(0)), before);
    EXPECT("a mapping that cannot be made: EMODPE", leaf(SGX_EMODPE, REG | EPCM_X, HEAP(0)), -SGX_VEC_PF);
    EXPECT("the page is as it was again", entry(HEAP(0)), before);
    protect_error = 0;
    fx_close(&fx);
    sgx_set_mapping_ops(NULL);
}

/* ---- the ioctls ---- */

static int restrict_to(uint64_t offset, uint64_t length, uint64_t permissions, uint64_t *result, uint64_t *count)
{
    struct sgx_enclave_restrict_permissions p = { offset, length, permissions, *result, *count };
    int ret = softsgx_restrict_permissions(fx.enclave, &p);

    *result = p.result;
    *count = p.count;
    return ret;
}

static int modify(uint64_t offset, uint64_t length, uint64_t type, uint64_t *result, uint64_t *count)
{
    struct sgx_enclave_modify_types p = { offset, length, type, *result, *count };
    int ret = softsgx_modify_types(fx.enclave, &p);

    *result = p.result;
    *count = p.count;
    return ret;
}

static int remove_pages(uint64_t offset, uint64_t length, uint64_t *count)
{
    struct sgx_enclave_remove_pages p = { offset, length, *count };
    int ret = softsgx_remove_pages(fx.enclave, &p);

    *count = p.count;
    return ret;
}

static void test_ioctl_arguments(void)
{
    uint64_t result = 0, count = 0;

    EXPECT("RESTRICT: offset not aligned", restrict_to(FX_HEAP + 1, SGX_PAGE_SIZE, EPCM_R, &result, &count), -EINVAL);
    EXPECT("RESTRICT: length not aligned", restrict_to(FX_HEAP, 100, EPCM_R, &result, &count), -EINVAL);
    EXPECT("RESTRICT: length 0", restrict_to(FX_HEAP, 0, EPCM_R, &result, &count), -EINVAL);
    EXPECT("RESTRICT: behind the end", restrict_to(FX_SIZE - SGX_PAGE_SIZE, 2 * SGX_PAGE_SIZE, EPCM_R, &result, &count), -EINVAL);
    EXPECT("RESTRICT: unknown permission", restrict_to(FX_HEAP, SGX_PAGE_SIZE, 8, &result, &count), -EINVAL);
    EXPECT("RESTRICT: W without R", restrict_to(FX_HEAP, SGX_PAGE_SIZE, EPCM_W, &result, &count), -EINVAL);
    count = 1;
    EXPECT("RESTRICT: count is for the answer", restrict_to(FX_HEAP, SGX_PAGE_SIZE, EPCM_R, &result, &count), -EINVAL);
    count = 0;
    EXPECT("MODIFY: to REG", modify(FX_HEAP, SGX_PAGE_SIZE, SGX_PT_REG, &result, &count), -EINVAL);
    EXPECT("MODIFY: length 0", modify(FX_HEAP, 0, SGX_PT_TRIM, &result, &count), -EINVAL);
    EXPECT("REMOVE: length 0", remove_pages(FX_HEAP, 0, &count), -EINVAL);
    EXPECT("REMOVE: a page in use", remove_pages(FX_HEAP, SGX_PAGE_SIZE, &count), -EPERM);
    EXPECT("REMOVE: a page that is not there", remove_pages(FX_HOLE, SGX_PAGE_SIZE, &count), -EFAULT);
    EXPECT("nothing was removed", count, 0);
}

void test_edmm_ioctls(void **state)
{
    uint64_t result = 0, count = 0;

    (void)state;
    fx_open(&fx, &kinds[KIND_PLAIN]);
    test_ioctl_arguments();
    sgx_eaug(fx.enclave, FRESH(0));
    EXPECT("RESTRICT: stops at a page that is PENDING",
           restrict_to(FRESH(0) - FX_BASE, SGX_PAGE_SIZE, EPCM_R, &result, &count), -EFAULT);
    EXPECT("and says why", result, SGX_PAGE_NOT_MODIFIABLE);
    result = count = 0;
    EXPECT("RESTRICT: as far as there are pages", restrict_to(FX_HEAP + 2 * SGX_PAGE_SIZE, 5 * SGX_PAGE_SIZE, EPCM_R, &result, &count),
           -EFAULT);
    EXPECT("and says how far", count, 2 * SGX_PAGE_SIZE);
    EXPECT("no error code for a page that is not there", result, 0);
    result = count = 0;
    EXPECT("MODIFY to TRIM", modify(FX_HEAP, SGX_PAGE_SIZE, SGX_PT_TRIM, &result, &count), 0);
    EXPECT("all of it", count, SGX_PAGE_SIZE);
    count = 0;
    EXPECT("REMOVE before the enclave accepts", remove_pages(FX_HEAP, SGX_PAGE_SIZE, &count), -EPERM);
    result = count = 0;
    EXPECT("MODIFY once more", modify(FX_HEAP, SGX_PAGE_SIZE, SGX_PT_TRIM, &result, &count), -EFAULT);
    EXPECT("a trimmed page cannot become anything: #PF, no error code", result, 0);
    fx_close(&fx);
}

/* ---- page faults, and how much EPC there is ---- */

static long fault(uint64_t address, uint32_t code)
{
    bool no_memory;
    bool done = sgx_augment_fault(fx.enclave, address, code, &no_memory);

    return done ? 1 : no_memory ? -ENOMEM : 0;
}

void test_edmm_faults(void **state)
{
    struct softsgx_epc epc;

    (void)state;
    fx_open(&fx, &kinds[KIND_PLAIN]);
    softsgx_get_epc(fx.enclave, &epc);
    uint64_t valid = epc.valid;
    EXPECT("a fault on a page that is not there adds it", fault(FRESH(1) + 0x123, SGX_PFEC_U | SGX_PFEC_W), 1);
    EXPECT("as a PENDING one", entry(FRESH(1)), EPCM_VALID | REG | RW | EPCM_PENDING);
    EXPECT("#PF on it is SGX's then", sgx_pf_error_code(fx.enclave, FRESH(1), 0), SGX_PFEC_U | SGX_PFEC_P | SGX_PFEC_SGX);
    EXPECT("and is the handler's", fault(FRESH(1), SGX_PFEC_U), 0);
    EXPECT("a page that is there is not added", fault(HEAP(0), SGX_PFEC_U), 0);
    EXPECT("an address outside ELRANGE", fault(FX_BASE + FX_SIZE, SGX_PFEC_U), 0);
    softsgx_protect(fx.enclave, FRESH(2), SGX_PAGE_SIZE, 0);
    EXPECT("where the page table has nothing the kernel adds nothing", fault(FRESH(2), SGX_PFEC_U), 0);
    softsgx_protect(fx.enclave, FRESH(2), SGX_PAGE_SIZE, 1);
    EXPECT("nor for a write where it has no W", fault(FRESH(2), SGX_PFEC_U | SGX_PFEC_W), 0);
    EXPECT("nor for a fetch where it has no X", fault(FRESH(2), SGX_PFEC_U | SGX_PFEC_I), 0);
    EXPECT("but for a read", fault(FRESH(2), SGX_PFEC_U), 1);
    EXPECT("in advance: a range", softsgx_augment(fx.enclave, FRESH(2), 3 * SGX_PAGE_SIZE), 0);
    EXPECT("in advance: not aligned", softsgx_augment(fx.enclave, FRESH(2) + 1, SGX_PAGE_SIZE), -EINVAL);
    EXPECT("in advance: behind the end", softsgx_augment(fx.enclave, FX_BASE + FX_SIZE, SGX_PAGE_SIZE), -EINVAL);
    softsgx_get_epc(fx.enclave, &epc);
    EXPECT("pages that are there", epc.valid, valid + 4);
    EXPECT("of them pending", epc.pending, 4);
    softsgx_set_epc_limit((epc.valid + 1) * SGX_PAGE_SIZE);
    EXPECT("the last page of the EPC", fault(FRESH(8), SGX_PFEC_U), 1);
    EXPECT("there is none left", fault(FRESH(9), SGX_PFEC_U), -ENOMEM);
    EXPECT("in advance neither", softsgx_augment(fx.enclave, FRESH(9), SGX_PAGE_SIZE), -ENOMEM);
    EXPECT("nothing was added", entry(FRESH(9)), 0);
    softsgx_set_epc_limit(0);
    fx_close(&fx);
    fx_open(&fx, &(struct fx_options){ .attributes = FX_ATTR, .no_init = true });
    EXPECT("before EINIT the kernel adds nothing", fault(FRESH(1), SGX_PFEC_U), 0);
    fx_close(&fx);
}

/* ---- flows ---- */

static void out_and_in(void)
{
    fx_interrupt(&fx);
    fx_must(&fx, SGX_ERESUME);
    fx_enclave_registers(&fx);
}

static void test_trim(void)
{
    uint64_t result = 0, count = 0;
    struct softsgx_epc before, after;

    softsgx_get_epc(fx.enclave, &before);
    sgx_epc(fx.enclave, HEAP(3))[5] = 99;
    EXPECT("trim: ioctl", modify(HEAP(3) - FX_BASE, SGX_PAGE_SIZE, SGX_PT_TRIM, &result, &count), 0);
    EXPECT("trim: nothing may touch it", sgx_epcm_prot(entry(HEAP(3))), 0);
    out_and_in();
    EXPECT("trim: accept", accept(TRIM | EPCM_MODIFIED, HEAP(3)), 0);
    count = 0;
    EXPECT("trim: remove", remove_pages(HEAP(3) - FX_BASE, SGX_PAGE_SIZE, &count), 0);
    EXPECT("trim: gone", entry(HEAP(3)), 0);
    softsgx_get_epc(fx.enclave, &after);
    EXPECT("trim: counted", after.valid, before.valid - 1);
    EXPECT("trim: none is left half-way", after.trimmed, 0);
    EXPECT("anew: EAUG", sgx_eaug(fx.enclave, HEAP(3)), 0);
    EXPECT("anew: accept", accept(REG | RW | EPCM_PENDING, HEAP(3)), 0);
    EXPECT("anew: zero", sgx_epc(fx.enclave, HEAP(3))[5], 0);
}

static void test_dynamic_tcs(void)
{
    uint64_t result = 0, count = 0;
    struct sgx_tcs tcs = { .ossa = FX_SSA + 0x1000, .nssa = 1, .oentry = FX_OENTRY, .ofsbase = FX_TLS, .ogsbase = FX_TLS,
                           .fslimit = 0xfff, .gslimit = 0xfff };
    struct fx second;

    EXPECT("TCS: EAUG", sgx_eaug(fx.enclave, FRESH(20)), 0);
    EXPECT("TCS: accept the page", accept(REG | RW | EPCM_PENDING, FRESH(20)), 0);
    memcpy(sgx_epc(fx.enclave, FRESH(20)), &tcs, sizeof(tcs));
    EXPECT("TCS: ioctl", modify(FRESH(20) - FX_BASE, SGX_PAGE_SIZE, SGX_PT_TCS, &result, &count), 0);
    second = fx;
    second.cpu.xsave = second.xsave;
    second.cpu.enclave_mode = false;
    fx_host(&second);
    second.cpu.gpr[SGX_RBX] = FRESH(20);
    EXPECT("TCS: cannot be entered before it is accepted", fx_leaf(&second, SGX_EENTER), false);
    out_and_in();
    EXPECT("TCS: accept", accept(TCS | EPCM_MODIFIED, FRESH(20)), 0);
    EXPECT("TCS: can be entered", fx_leaf(&second, SGX_EENTER), true);
    EXPECT("TCS: where it says", second.cpu.rip, FX_BASE + FX_OENTRY);
}

void test_edmm_flows(void **state)
{
    (void)state;
    bring_to(&fx, KIND_PLAIN, INSIDE);
    test_trim();
    test_dynamic_tcs();
    fx_close(&fx);
}
