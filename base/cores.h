/* cores.h - how many threads are worth starting here. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_CORES_H
#define RH_BASE_CORES_H

/* Processors that this process may use at once, at least 1: those it may run on
 * (sched_setaffinity, cpusets), and no more than its control groups give it
 * time for (cpu.max), rounded up. */
unsigned rh_cores(void);

#endif
