/* render.h - a rehost.report/1 document for people. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_REPORT_RENDER_H
#define RH_REPORT_RENDER_H

#include <jansson.h>

#include "base/error.h"

/* Both give text that the caller frees; NULL on failure. */
char *rh_render_text(const json_t *report, rh_error **err);
/* One self-contained page: no script, no outside resource needed to read it. */
char *rh_render_html(const json_t *report, rh_error **err);

#endif
