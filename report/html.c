/* html.c - a report document as one self-contained page.
 *
 * The page is made of the document alone.  Nothing is fetched, and nothing
 * needs a script to be read: the one there is sorts the table. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/text.h"
#include "report/page.h"
#include "report/render.h"
#include "report/width.h"

/* More VMs than these are folded: the table leads to them. */
enum { UNFOLDED_MOST = 4, NAME_MOST = 80 };

void rh_page_badge(struct rh_buf *b, const char *kind, const char *word)
{
    RH_AUTO(rh_freep) char *class_ = rh_printf("badge %s", kind);

    rh_leaf(b, "span", class_, word);
}

/* What fits a window's title bar: 60 characters, then dots. */
static char *short_title(const char *title)
{
    size_t n = 0, characters = 0;

    while (title[n] && characters < 60) {
        /* Validators count what is written: an entity for each of these. */
        characters += strchr("<>&\"'", title[n]) ? 6 : 1;
        n++;
        while ((title[n] & 0xc0) == 0x80)
            n++;
    }
    return rh_printf("%.*s%s", (int)n, title, title[n] ? "…" : "");
}

static void head(struct rh_page *page, const char *title)
{
    struct rh_buf *b = &page->b;
    RH_AUTO(rh_freep) char *brief = short_title(title);

    rh_buf_puts(b, "<!DOCTYPE html>\n");
    rh_tag(b, "html", "lang", rh_text_lang(), NULL);
    rh_buf_puts(b, "<head>\n<meta charset=\"utf-8\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width, "
                   "initial-scale=1\">\n"
                   "<meta name=\"color-scheme\" content=\"light dark\">\n"
                   "<meta http-equiv=\"Content-Security-Policy\" "
                   "content=\"default-src 'none'; style-src 'unsafe-inline'; "
                   "script-src 'unsafe-inline'\">\n");
    rh_leaf(b, "title", NULL, brief);
    rh_buf_puts(b, "<style>\n");
    rh_buf_puts(b, rh_page_style);
    rh_buf_puts(b, "</style>\n</head>\n");
}

static const json_t *property(const json_t *model, const char *id)
{
    const json_t *p;
    size_t i;

    json_array_foreach (json_object_get(model, "properties"), i, p)
        if (!strcmp(rh_word(p, "id"), id))
            return p;
    return NULL;
}

static void model_row(struct rh_page *page, const json_t *models,
                      const json_t *first)
{
    struct rh_buf *b = &page->b;
    const json_t *model;
    size_t i;

    rh_tag(b, "tr", NULL);
    rh_tag(b, "th", "scope", "row", NULL);
    rh_text(b, rh_word(first, "label"));
    rh_end(b, "th");
    json_array_foreach (models, i, model) {
        rh_tag(b, "td", "data-label", rh_word(model, "name"), NULL);
        rh_leaf(b, "span", NULL,
                rh_word(property(model, rh_word(first, "id")), "value"));
        rh_end(b, "td");
    }
    rh_end(b, "tr");
}

/* What the models are, side by side. */
static void models_table(struct rh_page *page)
{
    const json_t *models = json_object_get(page->report, "models");
    const json_t *model, *p;
    struct rh_buf *b = &page->b;
    size_t i;

    if (!json_array_size(models))
        return;
    rh_tag(b, "details", "class", "models", NULL);
    rh_leaf(b, "summary", NULL, _("The models compared"));
    rh_tag(b, "table", NULL);
    rh_tag(b, "thead", NULL);
    rh_tag(b, "tr", NULL);
    rh_tag(b, "th", "scope", "col", NULL);
    rh_text(b, _("Property"));
    rh_end(b, "th");
    json_array_foreach (models, i, model) {
        rh_tag(b, "th", "scope", "col", NULL);
        rh_text(b, rh_word(model, "name"));
        rh_end(b, "th");
    }
    rh_end(b, "tr");
    rh_end(b, "thead");
    rh_tag(b, "tbody", NULL);
    json_array_foreach (
        json_object_get(json_array_get(models, 0), "properties"), i, p)
        model_row(page, models, p);
    rh_end(b, "tbody");
    rh_end(b, "table");
    rh_end(b, "details");
}

static void body(struct rh_page *page, const char *title)
{
    const json_t *vms = json_object_get(page->report, "vms"), *entry;
    bool folded = json_array_size(vms) > UNFOLDED_MOST;
    struct rh_buf *b = &page->b;
    size_t i;

    rh_tag(b, "body", NULL);
    rh_tag(b, "header", "class", "top", NULL);
    rh_leaf(b, "h1", NULL, title);
    rh_leaf(b, "p", NULL,
            _("What can move, what will change, and what is left to people. "
              "Nothing has been converted to make this page."));
    rh_end(b, "header");
    rh_tag(b, "main", NULL);
    rh_page_fleet(page);
    json_array_foreach (vms, i, entry)
        rh_page_vm(page, entry, i, folded);
    models_table(page);
    rh_end(b, "main");
    if (json_array_size(vms) > 1) {
        rh_buf_puts(b, "<script>\n");
        rh_buf_puts(b, rh_page_script);
        rh_buf_puts(b, "</script>\n");
    }
    rh_end(b, "body");
    rh_end(b, "html");
}

char *rh_render_html(const json_t *report, rh_error **err)
{
    const json_t *vms = json_object_get(report, "vms");
    struct rh_page page = {.report = report};
    RH_AUTO(rh_freep) char *title = NULL;
    RH_AUTO(rh_freep) char *name = NULL;
    RH_AUTO(rh_freep) char *clipped = NULL;

    if (!json_is_array(vms)) {
        rh_fail(err, RH_ERR_BUG, "this is no report document");
        return NULL;
    }
    name = rh_printable(rh_vm_title(json_array_get(vms, 0)));
    clipped = rh_clip(name, NAME_MOST);
    title = json_array_size(vms) == 1
                ? rh_printf(_("Migration report: %s"), clipped)
                : rh_strdup(_("Migration report"));
    head(&page, title);
    body(&page, title);
    return rh_buf_take(&page.b);
}
