/* SPDX-License-Identifier: Apache-2.0
 *
 * B1: AEX-Notify is on if and only if the enclave itself knows it is, and then the mitigation runs. The flaw was: the
 * runtime believed a feature word of the host; a host that cleared one bit had an enclave whose attestation said
 * AEXNOTIFY and whose mitigation never ran. */
#include "tests/defects/defects.h"
#include "enclave/notify/notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* ---- hosts that do not grant it ---- */
static void old_processor(struct image *image)
{
    (void)image;
    setenv("SOFTSGX_WITHOUT_AEXNOTIFY", "1", 1);
}

static void clear_attribute(struct image *image)
{
    image->secs.attributes.flags &= ~SGX_ATTR_AEXNOTIFY;
}

/* An image that was built and signed without, and whose measured configuration asks for it all the same. */
static void build_without(struct image *image)
{
    clear_attribute(image);
    for (size_t i = 0; i < image->range_count; i++) {
        const struct image_range *r = &image->ranges[i];
        if ((r->secinfo_flags & SGX_SECINFO_PT_MASK) == SGX_SECINFO_TCS)
            ((struct sgx_tcs *)(uintptr_t)r->content)->flags &= ~SGX_TCS_AEXNOTIFY;
    }
}

static void never(void)
{
    lab_fail("the program has been loaded", 0, 0, 0);
}

static int check_refusal(const struct lab_run *run, const char *line)
{
    if (lab_check_status(run, HOST_EXIT_REFUSED << 8))
        return 1;
    defects_looked_at++;
    return strstr(lab_errors, line) ? 0 : lab_fail("the enclave is refused, but not for the right reason", 0, 0, 0);
}

static int check_command(void)
{
    const char *const argv[] = {lab_options.vigil, "run", "--aex-notify=on", "--", lab_options.target, "compute", NULL};
    char output[4096];

    setenv("SOFTSGX_WITHOUT_AEXNOTIFY", "1", 1);
    int status = lab_command(argv, output, sizeof(output));
    unsetenv("SOFTSGX_WITHOUT_AEXNOTIFY");
    const char *newline = strchr(output, '\n');
    if (!WIFEXITED(status) || WEXITSTATUS(status) != HOST_EXIT_REFUSED)
        return lab_fail("vigil run ends with wait status 0x%lx where there is no AEX-Notify", (uint64_t)status, 0, 0);
    if (!strstr(output, "AEX-Notify") || !newline || newline[1])
        return lab_fail("vigil run does not say in one line that there is no AEX-Notify", 0, 0, 0);
    defects_looked_at++;
    return 0;
}

/* ---- the mitigation runs each time ---- */
static struct lab_tour tour;
static struct {
    unsigned passes;
    bool started, was_aex, running;
    uint64_t at, interrupted, restarted, returned;
    uint64_t stub_before;        /* the counter when the last resume began */
    uint64_t instructions, fewest;
    struct tcb tcb;              /* at the pass's begin */
} now;

static struct tcb tcb_of(const struct softsgx_boundary *b)
{
    struct tcb t;

    lab_read(b->tcs - VIGIL_GS_TCS, &t, sizeof(t));
    return t;
}

static enum softsgx_action step(void *arg, const struct softsgx_boundary *b)
{
    enum lab_where where = lab_where(b);

    (void)arg;
    if (b->rip == lab.resume_begin && !b->cssa) {
        now.stub_before = tcb_of(b).stats.stub;
        now.instructions = 0;
    }
    now.instructions += where == LAB_RESUME;
    if (where == LAB_RESUME && lab_tour_due(&tour, b->rip)) {
        now.restarted++;
        now.was_aex = true;
        return SOFTSGX_AEX;
    }
    if (where != LAB_APPLICATION)
        return SOFTSGX_GO;
    if (now.was_aex) { /* back: with the stub, from its beginning to its end */
        now.was_aex = false;
        now.returned++;
        if (tcb_of(b).stats.stub != now.stub_before + 1)
            lab_fail("return %lu to the program after an AEX: without the stub", now.returned, 0, 0);
        if (!now.fewest || now.instructions < now.fewest)
            now.fewest = now.instructions;
    }
    if (b->rip == now.at) {
        now.at = 0;
        return SOFTSGX_GO;
    }
    now.at = b->rip;
    now.interrupted++;
    now.was_aex = true;
    return SOFTSGX_AEX;
}

static void begin(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (!now.passes++) {
        lab_tour_init(&tour, lab.resume_begin, lab.resume_end, lab_options.stride);
        return;
    }
    lab_last_pass(b);
    now.tcb = tcb_of(b);
    softsgx_step(step, NULL);
    /* The defect: the mitigation is off although the enclave is attested to have it. */
    if (lab_options.planted)
        lab_set_word(lab_runtime_symbol("notify_policy") + offsetof(struct notify_policy, stub_after_aex), 0);
}

static void end(void *arg, const struct softsgx_boundary *b)
{
    struct tcb t = tcb_of(b);
    uint64_t notifications = t.notifications - now.tcb.notifications, coalesced = t.coalesced - now.tcb.coalesced;

    (void)arg;
    softsgx_step(NULL, NULL);
    if (now.passes < 2)
        return;
    if (notifications != now.interrupted + now.restarted || coalesced != now.restarted)
        lab_fail("%lu notifications and %lu restarts were counted of %lu AEXs", notifications, coalesced,
                 now.interrupted + now.restarted);
    if (now.returned != notifications - coalesced)
        lab_fail("the stub was run to its end %lu times for %lu notifications less %lu restarts", now.returned,
                 notifications, coalesced);
    if (now.fewest < 64)
        lab_fail("the stub has %lu instructions", now.fewest, 0, 0);
    lab_count[0] = now.interrupted + now.restarted;
}

int b1(void)
{
    static const struct lab_run old = {.path = "compute", .image = old_processor, .ready = never};
    static const struct lab_run cleared = {.path = "compute", .tamper = clear_attribute, .ready = never};
    static const struct lab_run without = {.path = "compute", .image = build_without, .ready = never};

    if (check_command() || check_refusal(&old, "AEX-Notify was asked for") || check_refusal(&cleared, "EINIT") ||
        check_refusal(&without, "ATTRIBUTES have no AEXNOTIFY"))
        return 1;
    memset(&now, 0, sizeof(now));
    int failed = lab_check(&(struct lab_run){.path = "compute", .begin = begin, .end = end});
    defects_looked_at += lab_count[0];
    return failed || !lab_count[0];
}
