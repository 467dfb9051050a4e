/* yaml.c - YAML as JSON. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/yaml.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/limits.h"
#include "base/mem.h"

enum { DEPTH = 16 };

struct builder {
    const struct rh_yaml_errors *ids;
    json_t *stack[DEPTH]; /* arrays and objects being filled */
    char *key[DEPTH];     /* of the mapping at that depth, or NULL */
    unsigned depth;
    json_t *root;      /* of the document being read */
    json_t *documents; /* all of them */
    size_t nodes;
};

/* Takes `value`. */
static int place(struct builder *b, json_t *value)
{
    json_t *into = b->depth ? b->stack[b->depth - 1] : NULL;

    if (!into) {
        b->root = value;
        return 0;
    }
    if (json_is_array(into))
        return json_array_append_new(into, value);
    if (!b->key[b->depth - 1] ||
        json_object_get(into, b->key[b->depth - 1])) { /* no last word */
        json_decref(value);
        return -1;
    }
    json_object_set_new(into, b->key[b->depth - 1], value);
    free(b->key[b->depth - 1]);
    b->key[b->depth - 1] = NULL;
    return 0;
}

static int push(struct builder *b, json_t *container)
{
    if (place(b, container) || b->depth == DEPTH)
        return -1;
    b->stack[b->depth++] = container;
    return 0;
}

static int scalar(struct builder *b, const yaml_event_t *e)
{
    const char *text = (const char *)e->data.scalar.value;
    json_t *into = b->depth ? b->stack[b->depth - 1] : NULL;
    bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

    if (strlen(text) != e->data.scalar.length)
        return -1;
    if (json_is_object(into) && !b->key[b->depth - 1]) {
        b->key[b->depth - 1] = rh_strdup(text);
        return 0;
    }
    if (plain && (!text[0] || !strcmp(text, "~") || !strcmp(text, "null")))
        return place(b, json_null());
    return place(b, json_string(text));
}

static int event(struct builder *b, const yaml_event_t *e, rh_error **err)
{
    int status = 0;

    if (++b->nodes > RH_LIMIT_ITEMS)
        return rh_fail(err, b->ids->limit, "more than %d values",
                       RH_LIMIT_ITEMS);
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        status = scalar(b, e);
        break;
    case YAML_MAPPING_START_EVENT:
        status = push(b, json_object());
        break;
    case YAML_SEQUENCE_START_EVENT:
        status = push(b, json_array());
        break;
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        b->depth--;
        break;
    case YAML_DOCUMENT_END_EVENT:
        if (b->root)
            json_array_append_new(b->documents, RH_TAKE(b->root));
        break;
    case YAML_ALIAS_EVENT:
        status = -1; /* the way to make a small file large */
        break;
    default:
        break;
    }
    if (status)
        return rh_fail(
            err, b->ids->syntax,
            "line %zu: an alias, a key that is no word or stands twice, "
            "or too deep",
            e->start_mark.line + 1);
    return 0;
}

static int build(yaml_parser_t *parser, struct builder *b, rh_error **err)
{
    yaml_event_type_t type = YAML_NO_EVENT;

    while (type != YAML_STREAM_END_EVENT) {
        yaml_event_t e;
        int status;

        if (!yaml_parser_parse(parser, &e))
            return rh_fail(err, b->ids->syntax, "line %zu: %s",
                           parser->problem_mark.line + 1,
                           parser->problem ? parser->problem : "not YAML");
        type = e.type;
        status = event(b, &e, err);
        yaml_event_delete(&e);
        if (status)
            return -1;
    }
    return 0;
}

json_t *rh_yaml_documents(const char *text, size_t n,
                          const struct rh_yaml_errors *ids, rh_error **err)
{
    struct builder b = {.ids = ids, .documents = json_array()};
    yaml_parser_t parser;
    int status;

    if (!yaml_parser_initialize(&parser)) {
        json_decref(b.documents);
        rh_fail(err, RH_ERR_MEMORY, "no memory for the YAML parser");
        return NULL;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    status = build(&parser, &b, err);
    yaml_parser_delete(&parser);
    for (unsigned i = 0; i < DEPTH; i++)
        free(b.key[i]);
    json_decref(b.root);
    if (!status)
        return b.documents;
    json_decref(b.documents);
    return NULL;
}
