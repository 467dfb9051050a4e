/* text.h - what people read: translation, and bytes made safe to print.
 *
 * Mark every sentence for people: _("...") where it is used, N_("...") in
 * tables.  rh_fail(), rh_hint(), rh_error_context() and rh_finding_add()
 * translate their format by themselves: give them the plain English literal. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_TEXT_H
#define RH_BASE_TEXT_H

#include <libintl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RH_TEXT_DOMAIN "rehost"
#define _(text)        dgettext(RH_TEXT_DOMAIN, (text))
#define N_(text)       (text)

/* Bind the messages and choose a language: "en", "ja", or NULL for the
 * locale's.  Process-wide; the CLI calls it once, a service may too. */
void rh_text_language(const char *lang);
/* The language that messages really come in: "en" unless translated. */
const char *rh_text_lang(void);

/* A copy fit for a terminal and for UTF-8 documents: control characters,
 * bidirectional overrides and broken UTF-8 become \xNN.  The caller frees. */
char *rh_printable(const char *text);

/* A source as it may be shown: an address without user, password, query and
 * fragment, which may be secrets (of NBD's without the user alone: its query
 * names files); anything else as it is.  Nothing prints a
 * source but through this; rh_error_subject() does so by itself.  The caller
 * frees. */
char *rh_source_shown(const char *source);

/* "10.5 GiB" for people; the caller frees. */
char *rh_human_size(uint64_t bytes);

/* "8GiB", "512 MB", "4096", "1.5T": binary and decimal units, spaces allowed.
 * A bare number is bytes.  False when it is none or overflows. */
bool rh_parse_size(const char *text, uint64_t *ret_bytes);
/* Decimal digits only, bounded. */
bool rh_parse_u64(const char *text, uint64_t *ret_number);
bool rh_parse_bool(const char *text, bool *ret); /* yes/no/true/false/1/0 */

/* May an extended regular expression of a stranger be given to regcomp()?  It
 * takes memory by powers for each "+" of a "+", and for counts in braces, and
 * matching references to groups takes time in the same way. */
bool rh_regex_is_cheap(const char *regex);
bool rh_same_word(const char *a, const char *b); /* without regard to case */
bool rh_valid_utf8(const char *text, size_t n);

#endif
