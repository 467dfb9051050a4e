/* model.c - reads targets/FOLDER/model.yaml: mappings, lists and texts only. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "targets/model.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/data.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/yaml.h"
#include "targets/target.h"

enum { FILE_MOST = 256 * 1024, MODELS_MOST = 32 };

static json_t *parse(const char *text, size_t n, const char *path,
                     rh_error **err)
{
    static const struct rh_yaml_errors ids = {RH_ERR_TARGET_MODEL,
                                              RH_ERR_TARGET_MODEL};
    json_t *documents = rh_yaml_documents(text, n, &ids, err);
    json_t *model = json_incref(json_array_get(documents, 0));

    json_decref(documents);
    if (json_is_object(model))
        return model;
    json_decref(model);
    if (documents)
        rh_fail(err, RH_ERR_TARGET_MODEL, "this is no model");
    rh_error_subject(err, path);
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
