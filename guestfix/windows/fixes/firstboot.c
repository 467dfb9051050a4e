/* firstboot.c - the service that runs once on the new machine: its files, and
 * its key in the registry. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/windows/fixes/firstboot.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

/* Only what cmd.exe, netsh, reg, sc and getmac of every Windows since XP can
 * do.  Tools are called by bare names.  The child that `start` makes lives on
 * when the service manager gives the service up after 30 seconds, as it must:
 * cmd.exe is no service. */
/* clang-format off */
static const char script[] =
    "@echo off\r\n"
    "rem Made by rehost: runs once after this machine was moved, then removes\r\n"
    "rem itself.  What it does stands in drivers.txt, network.txt and after.txt;\r\n"
    "rem what it did stands in log.txt.\r\n"
    "setlocal EnableExtensions DisableDelayedExpansion\r\n"
    "set \"D=%~dp0\"\r\n"
    "cd /d \"%D%\"\r\n"
    "set \"FAILED=\"\r\n"
    "set BOOTS=0\r\n"
    "if exist \"%D%boots.txt\" for /f \"usebackq\" %%b in (\"%D%boots.txt\") do set BOOTS=%%b\r\n"
    "set /a BOOTS+=1\r\n"
    "if %BOOTS% GTR 3 set FAILED=1\r\n"
    "if %BOOTS% GTR 3 goto :end\r\n"
    ">\"%D%boots.txt\" echo %BOOTS%\r\n"
    "set \"TEXT=start %BOOTS% of at most 3\"\r\n"
    "call :log\r\n"
    "if exist \"%D%drivers.txt\" call :steps drivers.txt\r\n"
    "if exist \"%D%network.txt\" call :wait\r\n"
    "if exist \"%D%network.txt\" call :steps network.txt\r\n"
    "if exist \"%D%after.txt\" call :steps after.txt\r\n"
    "if not defined FAILED goto :end\r\n"
    "set \"TEXT=something failed\"\r\n"
    "call :log\r\n"
    "if %BOOTS% LSS 3 exit /b 1\r\n"
    "set \"TEXT=given up after 3 starts\"\r\n"
    "call :log\r\n"
    "\r\n"
    ":end\r\n"
    "call sc delete rehost-firstboot >nul 2>&1\r\n"
    "call reg delete HKLM\\SYSTEM\\CurrentControlSet\\Services\\rehost-firstboot /f >nul 2>&1\r\n"
    "set \"TEXT=the service is removed\"\r\n"
    "call :log\r\n"
    "if defined FAILED (echo failed>\"%D%state.txt\") else (echo done>\"%D%state.txt\")\r\n"
    "for %%f in (drivers network after cards boots) do if exist \"%D%%%f.txt\" del \"%D%%%f.txt\"\r\n"
    "if exist \"%D%drivers\" rd /s /q \"%D%drivers\"\r\n"
    "del \"%D%*.msi\" >nul 2>&1\r\n"
    "del \"%~f0\" & exit /b 0\r\n"
    "\r\n"
    "rem At most five minutes, until Windows has installed the cards.\r\n"
    ":wait\r\n"
    "set TRIES=0\r\n"
    ":wait_again\r\n"
    "call getmac /v /fo csv /nh >\"%D%cards.txt\" 2>nul\r\n"
    "set \"MISSING=\"\r\n"
    "for /f \"usebackq tokens=1 delims=|\" %%m in (\"%D%network.txt\") do call :is_there %%m\r\n"
    "if not defined MISSING exit /b 0\r\n"
    "set /a TRIES+=1\r\n"
    "if %TRIES% GEQ 60 exit /b 0\r\n"
    "call ping -n 6 127.0.0.1 >nul 2>&1\r\n"
    "goto :wait_again\r\n"
    "\r\n"
    ":is_there\r\n"
    "if \"%1\"==\"-\" exit /b 0\r\n"
    "call :card %1\r\n"
    "if not defined NAME set MISSING=1\r\n"
    "exit /b 0\r\n"
    "\r\n"
    "rem NAME and GUID of the card with this address.  Fields go by position: their\r\n"
    "rem titles are in the language of the system.\r\n"
    ":card\r\n"
    "set \"WANTED=%1\"\r\n"
    "set \"NAME=\"\r\n"
    "set \"GUID=\"\r\n"
    "if not exist \"%D%cards.txt\" exit /b 0\r\n"
    "for /f \"usebackq delims=\" %%l in (\"%D%cards.txt\") do (\r\n"
    "    set LINE=%%l\r\n"
    "    call :card_line\r\n"
    ")\r\n"
    "if not defined GUID exit /b 0\r\n"
    "if /i not \"%GUID:~0,7%\"==\"\\Device\" set \"GUID=\"\r\n"
    "if defined GUID set \"GUID={%GUID:*{=%\"\r\n"
    "exit /b 0\r\n"
    "\r\n"
    ":card_line\r\n"
    "set LINE=%LINE:\",\"=|%\r\n"
    "for /f \"tokens=1,2,3,4 delims=|\" %%a in (%LINE%) do call :card_is \"%%a\" \"%%c\" \"%%d\"\r\n"
    "exit /b 0\r\n"
    "\r\n"
    "rem The order is that of getmac: name, adapter, address, transport.\r\n"
    ":card_is\r\n"
    "if /i not \"%~2\"==\"%WANTED%\" exit /b 0\r\n"
    "set \"NAME=%~1\"\r\n"
    "set \"GUID=%~3\"\r\n"
    "exit /b 0\r\n"
    "\r\n"
    "rem A step: the card or a dash, needed or optional, the command; in its midst,\r\n"
    "rem between bars, what of the card belongs there.  optional:NAME sets a mark\r\n"
    "rem when it went well, after:NAME is left out without that mark.\r\n"
    ":steps\r\n"
    "for /f \"usebackq tokens=1,2,3,4* delims=|\" %%a in (\"%D%%1\") do (\r\n"
    "    set \"MAC=%%a\"\r\n"
    "    set \"NEED=%%b\"\r\n"
    "    set COMMAND=%%c\r\n"
    "    set \"WHAT=%%d\"\r\n"
    "    set REST=%%e\r\n"
    "    call :step\r\n"
    ")\r\n"
    "exit /b 0\r\n"
    "\r\n"
    ":step\r\n"
    "set \"MARK=\"\r\n"
    "for /f \"tokens=1,2 delims=:\" %%x in (\"%NEED%\") do (\r\n"
    "    set \"NEED=%%x\"\r\n"
    "    set \"MARK=%%y\"\r\n"
    ")\r\n"
    "if \"%NEED%\"==\"after\" if not defined WENT_WELL_%MARK% goto :step_left_out\r\n"
    "set \"NAME=\"\r\n"
    "set \"GUID=\"\r\n"
    "if not \"%MAC%\"==\"-\" call :card %MAC%\r\n"
    "if not \"%MAC%\"==\"-\" if not defined NAME goto :step_no_card\r\n"
    "if \"%WHAT%\"==\"name\" set COMMAND=%COMMAND%\"%NAME%\"%REST%\r\n"
    "if \"%WHAT%\"==\"guid\" if not defined GUID goto :step_no_card\r\n"
    "if \"%WHAT%\"==\"guid\" set COMMAND=%COMMAND%%GUID%%REST%\r\n"
    "set TEXT=%COMMAND%\r\n"
    "call :log\r\n"
    "call %COMMAND% >>\"%D%log.txt\" 2>&1\r\n"
    "set RC=%ERRORLEVEL%\r\n"
    "if \"%RC%\"==\"3010\" set RC=0\r\n"
    "rem 259: no device took it, so it is no mark.\r\n"
    "if defined MARK if \"%RC%\"==\"0\" set WENT_WELL_%MARK%=1\r\n"
    "if \"%RC%\"==\"259\" set RC=0\r\n"
    "if \"%RC%\"==\"0\" exit /b 0\r\n"
    "set \"TEXT=that ended with %RC% (%NEED%)\"\r\n"
    "call :log\r\n"
    "if \"%NEED%\"==\"needed\" set FAILED=1\r\n"
    "exit /b 0\r\n"
    "\r\n"
    ":step_left_out\r\n"
    "set TEXT=left out, as %MARK% was not installed: %COMMAND%\r\n"
    "call :log\r\n"
    "exit /b 0\r\n"
    "\r\n"
    ":step_no_card\r\n"
    "set TEXT=no card has the address %MAC%: %COMMAND%\r\n"
    "call :log\r\n"
    "if \"%NEED%\"==\"needed\" set FAILED=1\r\n"
    "exit /b 0\r\n"
    "\r\n"
    ":log\r\n"
    ">>\"%D%log.txt\" echo [%DATE% %TIME%] %TEXT%\r\n"
    "exit /b 0\r\n";
/* clang-format on */

static const char service[] = "rehost-firstboot";

const char *rh_win_job_script(void)
{
    return script;
}

void rh_win_job_free(struct rh_win_job *job)
{
    rh_buf_free(&job->drivers);
    rh_buf_free(&job->network);
    rh_buf_free(&job->after);
}

bool rh_win_job_is_empty(const struct rh_win_job *job)
{
    return !job->drivers.length && !job->network.length && !job->after.length;
}

/* What a command's text may hold inside quotes: no character that cmd.exe
 * takes for its own, and ASCII, whatever the code page. */
bool rh_win_is_plain(const char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~' || strchr("\"%!^&|<>@", *text))
            return false;
    return true;
}

/* As getmac writes it: 00-50-56-AA-BB-CC. */
static void add_mac(struct rh_buf *b, const char *mac)
{
    for (; mac && *mac; mac++)
        rh_buf_putc(b, *mac == ':'                  ? '-'
                       : *mac >= 'a' && *mac <= 'f' ? (char)(*mac - 'a' + 'A')
                                                    : *mac);
    if (!mac)
        rh_buf_putc(b, '-');
}

/* The script puts a command together: what comes before, "name" or "guid", what
 * comes behind. */
static void add_command(struct rh_buf *b, const char *command)
{
    static const struct {
        const char *mark, *bars;
    } parts[] = {{"@NAME@", "|name|"}, {"@GUID@", "|guid|"}};

    for (size_t i = 0; i < RH_COUNT(parts); i++) {
        const char *at = strstr(command, parts[i].mark);

        if (!at)
            continue;
        rh_buf_add(b, command, (size_t)(at - command));
        rh_buf_puts(b, parts[i].bars);
        rh_buf_puts(b, at + strlen(parts[i].mark));
        return;
    }
    rh_buf_puts(b, command);
}

void rh_win_step(struct rh_buf *steps, const char *mac, enum rh_win_need need,
                 const char *fmt, ...)
{
    RH_AUTO(rh_freep) char *command = NULL;
    va_list ap;

    va_start(ap, fmt);
    command = rh_vprintf(fmt, ap);
    va_end(ap);
    add_mac(steps, mac);
    rh_buf_printf(steps, "|%s|", need == RH_WIN_NEEDED ? "needed" : "optional");
    add_command(steps, command);
    rh_buf_puts(steps, "\r\n");
}

void rh_win_step_marked(struct rh_buf *steps, enum rh_win_mark how,
                        const char *mark, const char *fmt, ...)
{
    static const char *const words[] = {"optional", "needed", "after"};
    RH_AUTO(rh_freep) char *command = NULL;
    va_list ap;

    va_start(ap, fmt);
    command = rh_vprintf(fmt, ap);
    va_end(ap);
    rh_buf_printf(steps, "-|%s:%s|%s\r\n", words[how], mark, command);
}

/* --- files -------------------------------------------------------------------
 */
/* Self-relative: owner Administrators, group SYSTEM, a protected list of two
 * entries that give both everything, inherited by what lies in the folder. */
static const unsigned char acl[] = {
    1, 0, 0x04, 0x94, 20, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 48, 0, 0, 0,
    /* S-1-5-32-544 */
    1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0,
    /* S-1-5-18 */
    1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0,
    /* the list: 52 bytes, two entries */
    2, 0, 52, 0, 2, 0, 0, 0, 0, 3, 20, 0, 0xff, 1, 0x1f, 0, 1, 1, 0, 0, 0, 0, 0,
    5, 18, 0, 0, 0, 0, 3, 24, 0, 0xff, 1, 0x1f, 0, 1, 2, 0, 0, 0, 0, 0, 5, 32,
    0, 0, 0, 0x20, 2, 0, 0};

static char *in_folder(const struct rh_windows *w, const char *name)
{
    return rh_printf("%s/%s%s%s", w->root, RH_WIN_JOB_FOLDER, *name ? "/" : "",
                     name);
}

static int protect(struct rh_fix_job *j, const char *path, rh_error **err)
{
    return j->guest->ops->set_xattr(j->guest, path, "system.ntfs_acl", acl,
                                    sizeof acl, err);
}

int rh_win_job_put(struct rh_fix_job *j, const char *name, const void *bytes,
                   size_t n, rh_error **err)
{
    RH_AUTO(rh_freep) char *folder = in_folder(rh_win_of(j), "");
    RH_AUTO(rh_freep) char *path = in_folder(rh_win_of(j), name);

    char *slash;

    if (!rh_guest_exists(j->guest, folder) &&
        (j->guest->ops->make_dir(j->guest, folder, 0700, err) < 0 ||
         protect(j, folder, err) < 0))
        return -1;
    /* Folders in it inherit who may enter. */
    slash = strrchr(path, '/');
    *slash = '\0';
    if (j->guest->ops->make_dir(j->guest, path, 0700, err) < 0)
        return -1;
    *slash = '/';
    if (rh_fix_put(j, path, bytes, n, 0600,
                   _("what is done once, at the first start"), err) < 0)
        return -1;
    return protect(j, path, err);
}

static int put_steps(struct rh_fix_job *j, const char *name,
                     const struct rh_buf *steps, rh_error **err)
{
    return steps->length
               ? rh_win_job_put(j, name, steps->data, steps->length, err)
               : 0;
}

/* --- the service -------------------------------------------------------------
 */
static const char image[] =
    "%SystemRoot%\\System32\\cmd.exe /c start \"\" /b "
    "%SystemRoot%\\System32\\cmd.exe /c "
    "\"%SystemRoot%\\" RH_WIN_JOB_FOLDER "\\firstboot.cmd\"";

static int add_service(struct rh_hive_edit *e, const char *set, rh_error **err)
{
    enum { OWN_PROCESS = 0x10, AUTOMATIC = 2, ERRORS_ARE_IGNORED = 0 };
    RH_AUTO(rh_freep) char *path = rh_printf("%s\\Services\\%s", set, service);

    return rh_hive_set_number(e, path, "Type", OWN_PROCESS, err) < 0 ||
                   rh_hive_set_number(e, path, "Start", AUTOMATIC, err) < 0 ||
                   rh_hive_set_number(e, path, "ErrorControl",
                                      ERRORS_ARE_IGNORED, err) < 0 ||
                   rh_hive_set_text(e, path, "ImagePath", hive_t_REG_EXPAND_SZ,
                                    image, err) < 0 ||
                   rh_hive_set_text(e, path, "ObjectName", hive_t_REG_SZ,
                                    "LocalSystem", err) < 0 ||
                   rh_hive_set_text(e, path, "DisplayName", hive_t_REG_SZ,
                                    "rehost first start", err) < 0
               ? -1
               : 0;
}

int rh_win_job_install(struct rh_hive_edit *e, const struct rh_win_job *job,
                       rh_error **err)
{
    const struct rh_windows *w = rh_win_of(e->j);

    if (rh_win_job_put(e->j, "firstboot.cmd", script, sizeof script - 1, err) <
            0 ||
        put_steps(e->j, "drivers.txt", &job->drivers, err) < 0 ||
        put_steps(e->j, "network.txt", &job->network, err) < 0 ||
        put_steps(e->j, "after.txt", &job->after, err) < 0)
        return -1;
    for (size_t i = 0; i < w->sets.count; i++)
        if (add_service(e, w->sets.items[i], err) < 0)
            return -1;
    return 0;
}
