/* model.c - reads targets/FOLDER/model.yaml: mappings, lists and texts only. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "targets/model.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/data.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/text.h"
#include "targets/target.h"

enum { FILE_MOST = 256 * 1024, DEPTH_MOST = 16, MODELS_MOST = 32 };

static json_t *value(yaml_document_t *doc, const yaml_node_t *n, int depth);

static const char *scalar(const yaml_node_t *n)
{
    return n && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value
                                            : NULL;
}

static json_t *sequence(yaml_document_t *doc, const yaml_node_t *n, int depth)
{
    json_t *list = json_array();

    for (yaml_node_item_t *i = n->data.sequence.items.start;
         i < n->data.sequence.items.top; i++)
        if (json_array_append_new(
                list, value(doc, yaml_document_get_node(doc, *i), depth))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *mapping(yaml_document_t *doc, const yaml_node_t *n, int depth)
{
    json_t *map = json_object();

    for (yaml_node_pair_t *p = n->data.mapping.pairs.start;
         p < n->data.mapping.pairs.top; p++) {
        const char *key = scalar(yaml_document_get_node(doc, p->key));
        json_t *item = value(doc, yaml_document_get_node(doc, p->value), depth);

        if (!key || json_object_set_new(map, key, item)) {
            if (!key)
                json_decref(item);
            json_decref(map);
            return NULL;
        }
    }
    return map;
}

static json_t *value(yaml_document_t *doc, const yaml_node_t *n, int depth)
{
    if (!n || depth >= DEPTH_MOST)
        return NULL;
    if (n->type == YAML_MAPPING_NODE)
        return mapping(doc, n, depth + 1);
    if (n->type == YAML_SEQUENCE_NODE)
        return sequence(doc, n, depth + 1);
    return json_string(scalar(n));
}

static json_t *parse(const char *text, size_t n, const char *path,
                     rh_error **err)
{
    json_t *model = NULL;
    yaml_parser_t parser;
    yaml_document_t doc;
    size_t line;

    if (!yaml_parser_initialize(&parser)) {
        rh_fail(err, RH_ERR_MEMORY, "no memory for %s", path);
        return NULL;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    if (yaml_parser_load(&parser, &doc)) {
        model = value(&doc, yaml_document_get_root_node(&doc), 0);
        yaml_document_delete(&doc);
    }
    line = parser.problem_mark.line + 1;
    yaml_parser_delete(&parser);
    if (json_is_object(model))
        return model;
    json_decref(model);
    rh_fail(err, RH_ERR_TARGET_MODEL, "%s:%zu: this is no model", path, line);
    return NULL;
}

static json_t *load(const char *folder, rh_error **err)
{
    RH_AUTO(rh_freep) char *name = rh_printf("models/%s/model.yaml", folder);
    RH_AUTO(rh_freep) char *path = rh_data_path(name);
    RH_AUTO(rh_freep) char *text = NULL;
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    size_t n;

    if (!path) {
        rh_fail(err, RH_ERR_TARGET_MODEL, "%s is missing", name);
        return NULL;
    }
    io = rh_io_file_at(AT_FDCWD, path, 0, err);
    if (!io || rh_io_slurp(io, FILE_MOST, &text, &n, err) < 0)
        return NULL;
    return parse(text, n, path, err);
}

static bool is_targets_own(const char *folder)
{
    for (size_t i = 0; rh_target_at(i); i++)
        if (!strcmp(rh_target_at(i)->folder, folder))
            return true;
    return false;
}

static int add_model(json_t *list, const char *folder, rh_error **err)
{
    json_t *model = load(folder, err);
    const char *target;

    if (!model)
        return -1;
    json_array_append_new(list, model);
    target = json_string_value(json_object_get(model, "target"));
    if (target && rh_target_named(target))
        return 0;
    return rh_fail(err, RH_ERR_TARGET_MODEL,
                   "models/%s/model.yaml: there is no target \"%s\"", folder,
                   target ? target : "");
}

static int holds_model(const struct dirent *entry)
{
    RH_AUTO(rh_freep)
    char *name = rh_printf("models/%s/model.yaml", entry->d_name);
    RH_AUTO(rh_freep) char *path = NULL;

    if (entry->d_name[0] == '.' || is_targets_own(entry->d_name))
        return 0;
    path = rh_data_path(name);
    return path != NULL;
}

/* Folders that belong to no target: other providers' models. */
static int add_others(json_t *list, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_data_path("models");
    struct dirent **found = NULL;
    int count = path ? scandir(path, &found, holds_model, alphasort) : 0;
    int failed = 0;

    for (int i = 0; i < count; i++) {
        if (!failed && i < MODELS_MOST)
            failed = add_model(list, found[i]->d_name, err);
        free(found[i]);
    }
    free(found);
    return failed;
}

static void *load_all(rh_error **err)
{
    json_t *list = json_array();
    int failed = 0;

    for (size_t i = 0; !failed && rh_target_at(i); i++)
        failed = add_model(list, rh_target_at(i)->folder, err);
    if (!failed)
        failed = add_others(list, err);
    if (!failed)
        return list;
    json_decref(list);
    return NULL;
}

static void free_all(void *list)
{
    json_decref(list);
}

const json_t *rh_models_of(rh_lib *lib, rh_error **err)
{
    static const struct rh_keep models = {load_all, free_all};

    return rh_lib_keep(lib, &models, err);
}

const json_t *rh_model_of(rh_lib *lib, const char *target, rh_error **err)
{
    const json_t *all = rh_models_of(lib, err);

    for (size_t i = 0; all && rh_target_at(i); i++)
        if (!strcmp(rh_target_at(i)->name, target))
            return json_array_get(all, i);
    if (all)
        rh_fail(err, RH_ERR_TARGET_MODEL, "there is no target \"%s\"", target);
    return NULL;
}

json_t *rh_model_properties(const json_t *model)
{
    const char *lang = rh_text_lang();
    json_t *list = json_array();
    const json_t *p;
    size_t i;

    json_array_foreach (json_object_get(model, "properties"), i, p)
        json_array_append_new(
            list,
            json_pack("{s:O, s:s, s:s}", "id", json_object_get(p, "id"),
                      "label", rh_model_text(json_object_get(p, "label"), lang),
                      "value",
                      rh_model_text(json_object_get(p, "value"), lang)));
    return json_pack("{s:O, s:O, s:s, s:o}", "model",
                     json_object_get(model, "model"), "target",
                     json_object_get(model, "target"), "name",
                     rh_model_text(json_object_get(model, "name"), lang),
                     "properties", list);
}

uint64_t rh_model_limit(const json_t *model, const char *key)
{
    const char *text = json_string_value(
        json_object_get(json_object_get(model, "limits"), key));
    uint64_t n;

    return text && rh_parse_size(text, &n) ? n : UINT64_MAX;
}

const char *rh_model_text(const json_t *texts, const char *lang)
{
    const char *text = json_string_value(texts);

    if (!text && lang)
        text = json_string_value(json_object_get(texts, lang));
    if (!text)
        text = json_string_value(json_object_get(texts, "en"));
    return text ? text : "";
}
