/* step.h - what the files of one VM's turn share: how it ends, its steps. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_BATCH_STEP_H
#define RH_CONVERT_BATCH_STEP_H

#include "convert/batch/batch.h"

/* --- turn.c: how a turn ends */
const struct rh_job_vm *rh_turn_vm(const rh_batch *b, size_t i);
/* Takes `value`, frees what stood there. */
void rh_turn_text(char **slot, char *value);
/* Its worker, lease and staging folder. */
void rh_turn_let_go(rh_batch *b, size_t i);
void rh_turn_note(rh_batch *b, size_t i); /* in the journal */
void rh_turn_end(rh_batch *b, size_t i, enum rh_vm_state state);
/* The same with nothing more to do in this run. */
void rh_turn_settle(rh_batch *b, size_t i, enum rh_vm_state state,
                    const char *event);
void rh_turn_error(struct rh_task *t, json_t *error); /* takes it */
bool rh_turn_error_is(const json_t *error, const char *code);
/* It is tried again, or that was all; takes `error`. */
void rh_turn_failed(rh_batch *b, size_t i, json_t *error, int status);
void rh_turn_failed_with(rh_batch *b, size_t i, rh_error *e);
/* Another machine took it over. */
void rh_turn_lost(rh_batch *b, size_t i);
/* Results on their way that did not get there are none. */
void rh_turn_forget_unmoved(const rh_batch *b, struct rh_record *r);

/* --- launch.c: its workers */
void rh_step_plan(rh_batch *b, size_t i);
void rh_step_convert(rh_batch *b, size_t i);

/* --- step.c */
/* Convert, with what it may keep of what is fetched. */
void rh_step_with_space(rh_batch *b, size_t i);
/* True: it does not fit, and that is told. */
bool rh_step_wait_for_space(rh_batch *b, size_t i);
void rh_step_done(rh_batch *b, size_t i);

#endif
