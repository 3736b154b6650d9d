/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIGIL_FAKE_INTERNAL_H
#define VIGIL_FAKE_INTERNAL_H

#include "fake_enclave.h"

void fake_threads_init(void);
/* Before and after a call that may block. begin: false if an event already waits in the mailbox. */
bool fake_begin_wait(void);
void fake_end_wait(void);

#endif
