/* rpc.h - members of XML-RPC structs, added to a text one by one. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_TARGETS_XCP_NG_RPC_H
#define RH_TARGETS_XCP_NG_RPC_H

#include "base/mem.h"

#define RH_RPC_NOTHING "OpaqueRef:NULL"

enum { RPC_REF = 16 }; /* bytes of a reference's text */

/* What a field holds that holds nothing. */
enum rh_rpc_empty {
    RPC_TEXT,
    RPC_MAP,
    RPC_SET,
    RPC_NULL_REF,
    RPC_NO,
    RPC_ZERO
};

void rh_rpc_ref(size_t id, char ret[RPC_REF]);
void rh_rpc_open_member(struct rh_buf *b, const char *name);
void rh_rpc_close_member(struct rh_buf *b);
void rh_rpc_text(struct rh_buf *b, const char *name, const char *value);
void rh_rpc_number(struct rh_buf *b, const char *name, uint64_t value);
void rh_rpc_boolean(struct rh_buf *b, const char *name, bool value);
/* Long ago: a result knows no clock. */
void rh_rpc_date(struct rh_buf *b, const char *name);
void rh_rpc_open_map(struct rh_buf *b, const char *name);
void rh_rpc_close_map(struct rh_buf *b);
void rh_rpc_open_set(struct rh_buf *b, const char *name);
void rh_rpc_set_text(struct rh_buf *b, const char *value);
void rh_rpc_close_set(struct rh_buf *b);
/* References [first, end); none gives an empty set. */
void rh_rpc_set(struct rh_buf *b, const char *name, size_t first, size_t end);
/* Fields with the same empty value, their names in one string. */
void rh_rpc_empties(struct rh_buf *b, enum rh_rpc_empty kind,
                    const char *names);

#endif
