# rehost: one plain Makefile.  `make help` lists the targets.
#
#   make                      build/rehost, build/librehost.so.1, build/librehost.a
#   make CC=clang B=build-clang     another compiler, another build folder
#   make WERROR=1             warnings are errors (also when CI is set)
#
# Sources are found by wildcard: a new file in a known folder is picked up.
# SPDX-License-Identifier: LGPL-2.1-or-later

VERSION := 0.2.0
SONAME  := librehost.so.1
B       ?= build
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
T       ?=
ifeq ($(origin CC),default)
CC      := gcc
endif
CLANG   ?= clang
AR      := ar
say = $(if $(V),,@echo '  $(1)';)
MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:

# --- sources -----------------------------------------------------------------
LIB_DIRS := base vm formats formats/* volumes report profiles package config \
            descriptors descriptors/* live live/* source guestfix guestfix/* guestfix/*/* \
            targets targets/* deliver deliver/* convert convert/*
LIB_SRC  := $(sort $(wildcard $(LIB_DIRS:=/*.c)))
CLI_SRC  := $(sort $(wildcard cli/*.c))
NTFS_SRC := $(sort $(wildcard ntfs/*.c))
ZFS_SRC  := zfs/window.c
EX_SRC   := $(sort $(wildcard examples/*.c))
FUZZ_SRC := $(sort $(wildcard fuzz/*.c))
UNIT_SRC := $(sort $(wildcard tests/unit/*.c))
HEADERS  := $(sort $(wildcard $(LIB_DIRS:=/*.h) cli/*.h include/rehost/*.h))
C_FILES  := $(LIB_SRC) $(CLI_SRC) nbdkit/plugin.c $(NTFS_SRC) $(wildcard ntfs/*.h) \
            $(ZFS_SRC) $(wildcard zfs/*.h) $(EX_SRC) $(FUZZ_SRC) $(UNIT_SRC) \
            $(wildcard tests/*.c bench/*.c) $(HEADERS)
PO       := $(sort $(wildcard po/*.po))

obj = $(patsubst %.c,$(B)/obj/%.o,$(1))
PROGRAM  := $(if $(CLI_SRC),$(B)/rehost)
NBDKIT    = $(if $(call have,nbdkit),$(B)/nbdkit-rehost-plugin.so)
NTFS      = $(if $(call have,libntfs-3g),$(B)/rehost-ntfs)
ZFS      := $(B)/rehost-zfs.so
LIBS     := $(B)/$(SONAME) $(B)/librehost.so $(B)/librehost.a
MO       := $(PO:po/%.po=$(B)/locale/%/LC_MESSAGES/rehost.mo)
UNITS    := $(UNIT_SRC:tests/unit/%.c=$(B)/unit-%)
EXAMPLES := $(EX_SRC:%.c=$(B)/%)
REPLAYS  := $(FUZZ_SRC:fuzz/%.c=$(B)/replay-%)
FUZZERS  := $(FUZZ_SRC:fuzz/%.c=$(B)/fuzz-%)

# --- dependencies --------------------------------------------------------------
# Without the optional ones rehost builds and says what it lacks (--version).
NEEDED   := libxml-2.0 zlib libarchive openssl libzstd libxxhash \
            jansson yaml-0.1 hivex ext2fs com_err
OPTIONAL := libdeflate:HAVE_LIBDEFLATE libcurl:HAVE_LIBCURL \
            libguestfs:HAVE_LIBGUESTFS libisal:HAVE_ISAL libnbd:HAVE_LIBNBD \
            libvirt:HAVE_LIBVIRT
have      = $(shell pkg-config --exists $(1) 2>/dev/null && echo yes)
FOUND    := $(foreach o,$(OPTIONAL),$(if $(call \
              have,$(firstword $(subst :, ,$(o)))),$(o)))
PACKAGES := $(NEEDED) $(foreach o,$(FOUND),$(firstword $(subst :, ,$(o))))
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
# Loaded when first needed (base/late.h), so not linked.
LATE       := libguestfs libcurl libnbd libvirt
PKG_LIBS   := $(shell pkg-config --libs $(filter-out $(LATE),$(PACKAGES)) \
                2>/dev/null && echo -lm)

# --- flags ---------------------------------------------------------------------
SAN ?=
SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined
SAN_tsan := -fsanitize=thread
SAN_fuzz := $(SAN_asan) -fsanitize=fuzzer-no-link
SANITIZE := $(SAN_$(SAN)) $(if $(SAN),-fno-omit-frame-pointer)
# ASan looks up the xdr_* functions it stands before at the start only, where
# libguestfs, which brings them, is not loaded yet: they would be NULL.
ASAN_XDR := $(if $(filter asan,$(SAN)),$(if $(wildcard /lib/*/libtirpc.so.3), \
              -Xlinker --no-as-needed -l:libtirpc.so.3))
HARDEN   := $(if $(SAN),,-D_FORTIFY_SOURCE=2 -fstack-protector-strong)
WARN     := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes
# Under sanitizers gcc warns of what cannot be: there it only warns.
WARN     += $(if $(SAN),,$(if $(CI)$(WERROR),-Werror))
OPT      ?= -O2 -g
CPP  := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I. -Iinclude \
        -DRH_VERSION='"$(VERSION)"' \
        $(foreach o,$(FOUND),-D$(lastword $(subst :, ,$(o)))=1) $(PKG_CFLAGS)
ALL_CFLAGS := -std=c17 $(OPT) -fPIC -fvisibility=hidden -pthread $(WARN) \
              $(HARDEN) $(SANITIZE) $(CFLAGS)
ALL_LDFLAGS := -pthread $(SANITIZE) $(ASAN_XDR) -Wl,--as-needed -Wl,-z,relro,-z,now $(LDFLAGS)
COMPILE = $(CC) $(CPP) $(CPPFLAGS) $(ALL_CFLAGS)
# Sanitizer runtimes live in the program, so their symbols stay open here.
NO_UNDEFINED := $(if $(SAN),,-Wl,-z,defs)

# --- build ---------------------------------------------------------------------
.PHONY: all
all: $(LIBS) $(PROGRAM) $(NTFS) $(ZFS) $(NBDKIT) $(MO)

# A change of compiler or flags rebuilds, a change of the file list links again.
.PHONY: FORCE
FORCE:
define stamp
@mkdir -p $(@D)
@printf '%s\n' '$(subst ','\'',$(1))' | cmp -s - $@ || \
	printf '%s\n' '$(subst ','\'',$(1))' >$@
endef
$(B)/obj/flags: FORCE
	$(call stamp,$(filter-out -Werror,$(COMPILE)) $(ALL_LDFLAGS) $(PKG_LIBS))
$(B)/obj/files: FORCE
	$(call stamp,$(LIB_SRC) $(CLI_SRC))
$(B)/obj/places: FORCE
	$(call stamp,$(PREFIX) $(VERSION))

# Only base/data.c knows where data lies: in the tree as long as the library is
# loaded from it (the folder above build/), else below RH_DATADIR.
$(B)/obj/base/data.o: CPPFLAGS += -DRH_DATADIR='"$(PREFIX)/share/rehost"' \
  -DRH_LIBEXECDIR='"$(PREFIX)/libexec/rehost"'
$(B)/obj/base/data.o: $(B)/obj/places

$(B)/obj/%.o: %.c $(B)/obj/flags
	@mkdir -p $(@D)
	@$(if $(PKG_LIBS),,echo "a library is missing: run scripts/deps build" >&2; \
	  pkg-config --print-errors --exists $(PACKAGES); exit 1)
	$(call say,CC      $<)$(COMPILE) -MMD -MP -c -o $@ $<

$(B)/librehost.a: $(call obj,$(LIB_SRC)) $(B)/obj/files
	@rm -f $@
	$(call say,AR      $@)$(AR) rcsD $@ $(filter %.o,$^)

$(B)/$(SONAME): $(call obj,$(LIB_SRC)) librehost.map $(B)/obj/files
	$(call say,LINK    $@)$(CC) -shared -Wl,-soname,$(SONAME) -Wl,--version-script,librehost.map \
	  $(NO_UNDEFINED) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(PKG_LIBS)

$(B)/librehost.so: $(B)/$(SONAME)
	@ln -sf $(SONAME) $@

# The program lives on the public library alone; it finds it beside itself in
# the tree and in ../lib when installed.
RPATH = -Wl,-rpath,'$$ORIGIN:$$ORIGIN/../lib'
$(B)/rehost: $(call obj,$(CLI_SRC)) $(B)/librehost.so $(B)/obj/files
	$(call say,LINK    $@)$(CC) $(ALL_LDFLAGS) $(RPATH) -o $@ $(filter %.o,$^) -L$(B) -lrehost $(PKG_LIBS)

# A plugin for nbdkit, on the public library alone.
PLUGIN_RPATH = -Wl,-rpath,'$$ORIGIN:$$ORIGIN/../..'
$(B)/nbdkit-rehost-plugin.so: nbdkit/plugin.c $(B)/librehost.so $(B)/obj/flags
	$(call say,CC      $<)$(CC) -shared -fPIC -std=c17 $(OPT) $(WARN) $(HARDEN) $(SANITIZE) \
	  -D_GNU_SOURCE -DRH_VERSION='"$(VERSION)"' -Iinclude -MMD -MP -o $@ $< \
	  $(shell pkg-config --cflags nbdkit) -L$(B) -lrehost $(PLUGIN_RPATH)

# The NTFS helper is a program of its own, under the GPL (ntfs/README.md): it
# links libntfs-3g and C's library alone.  Its clock stands in for C's.
$(call obj,$(NTFS_SRC)): CPPFLAGS += $(if $(SAN),-DREHOST_SANITIZED) \
  $(shell pkg-config --cflags libntfs-3g 2>/dev/null)
$(B)/rehost-ntfs: $(call obj,$(NTFS_SRC))
	$(call say,LINK    $@)$(CC) $(ALL_LDFLAGS) -Wl,--export-dynamic-symbol=clock_gettime \
	  -o $@ $^ $(shell pkg-config --libs libntfs-3g)

# What grub-fstest is loaded with (zfs/README.md): it takes the place of C's open,
# read and the like, under both of their names, and of no sanitizer's.
$(call obj,$(ZFS_SRC)): CPPFLAGS += -U_FILE_OFFSET_BITS
$(call obj,$(ZFS_SRC)): ALL_CFLAGS := -std=c17 $(OPT) -fPIC -fvisibility=hidden \
  $(WARN) -fstack-protector-strong $(CFLAGS)
$(B)/rehost-zfs.so: $(call obj,$(ZFS_SRC))
	$(call say,LINK    $@)$(CC) -shared -Wl,-z,relro,-z,now,-z,defs $(LDFLAGS) -o $@ $^

$(B)/examples/%: examples/%.c $(B)/librehost.so $(B)/obj/flags
	@mkdir -p $(@D)
	$(call say,CC      $<)$(CC) -std=c17 $(OPT) $(WARN) $(SANITIZE) -Iinclude -MMD -MP -o $@ $< \
	  -L$(B) -lrehost $(RPATH) -Wl,-rpath,'$$ORIGIN/..'

# What bench/run measures beside the program: many conversions in one process,
# and the parts of one alone.
$(B)/bench-many: $(call obj,bench/many.c) $(B)/librehost.so
	$(call say,LINK    $@)$(CC) $(ALL_LDFLAGS) -o $@ $< -L$(B) -lrehost $(RPATH)
$(B)/bench-roof: $(call obj,bench/roof.c)
	$(call say,LINK    $@)$(CC) $(ALL_LDFLAGS) -o $@ $< $(shell pkg-config --libs libdeflate libcrypto libxxhash)
# Tests and fuzzers reach inside: they link the static library.
$(B)/unit-%: $(B)/obj/tests/unit/%.o $(B)/librehost.a
	$(call say,LINK    $@)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(PKG_LIBS)
$(B)/replay-%: $(B)/obj/fuzz/%.o $(B)/obj/tests/replay.o $(B)/librehost.a
	$(call say,LINK    $@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)
# What a live source tells of changes (tests/live_changes.c).
$(B)/live-changes: $(B)/obj/tests/live_changes.o $(B)/librehost.a
	$(call say,LINK    $@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)
# What our readers of guests' file systems see (tests/guest_tree.c).
$(B)/guest-tree: $(B)/obj/tests/guest_tree.o $(B)/librehost.a
	$(call say,LINK    $@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)
# Ranges of a disk into a pool's VDI (tests/vdi_write.c).
$(B)/vdi-write: $(B)/obj/tests/vdi_write.o $(B)/librehost.a
	$(call say,LINK    $@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)
$(B)/fuzz-%: $(B)/obj/fuzz/%.o $(B)/librehost.a
	$(call say,LINK    $@)$(CC) -fsanitize=fuzzer $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

.PHONY: units examples replays fuzzers
units: $(UNITS)
examples: $(EXAMPLES)
replays: $(REPLAYS) $(B)/guest-tree $(B)/live-changes $(B)/vdi-write
fuzzers: $(FUZZERS)
.PRECIOUS: $(B)/obj/%.o

# Messages: build/locale/LANG/LC_MESSAGES/rehost.mo, as the tree's data lookup
# expects.  `make po` takes new texts over into po/.
$(B)/locale/%/LC_MESSAGES/rehost.mo: po/%.po
	@mkdir -p $(@D)
	$(call say,MSGFMT  $<)msgfmt --check-format -o $@ $<
.PHONY: po
po:
	scripts/po $(VERSION)

# --- tests -----------------------------------------------------------------------
# Every one of these works from nothing: what is missing is installed first.
ALL_TESTED = all units examples replays $(B)/tables
.PHONY: check check-boot check-batch check-xen check-windows check-live run-tests demo bench bench-quick
check:
	@scripts/deps build check
	@$(MAKE) run-tests
check-boot:
	@scripts/deps build check boot
	@TEST_TIMEOUT=2700 $(MAKE) run-tests DIR=tests/boot
check-batch:
	@scripts/deps build check batch
	@TEST_TIMEOUT=1200 $(MAKE) run-tests DIR=tests/batch
check-xen:
	@scripts/deps build check xen
	@TEST_TIMEOUT=5400 $(MAKE) run-tests DIR=tests/xen
check-windows:
	@scripts/deps build check windows
	@TEST_TIMEOUT=2700 $(MAKE) run-tests DIR=tests/wine
# The servers of live sources are built first where their packages are there.
check-live:
	@scripts/deps build check live
	@TEST_TIMEOUT=1800 LIVE_BUILD_TIME=900 MOVES=$(or $(MOVES),20) $(MAKE) run-tests DIR=tests/live
run-tests: $(ALL_TESTED)
	@MAKEFLAGS= REHOST_BUILD=$(B) REHOST_SAN=$(SAN) CC="$(CC)" OPT="$(OPT)" \
	  tests/run $(if $(DIR),-d $(DIR)) $(T)
demo:
	@[ -x scripts/demo ] || { echo "make demo: there is no demo yet" >&2; exit 1; }
	@scripts/deps build demo
	@$(MAKE) all
	@scripts/demo
bench:
	@[ -x bench/run ] || { echo "make bench: no benchmarks yet" >&2; exit 1; }
	@scripts/deps build bench
	@$(MAKE) all $(B)/bench-many $(B)/bench-roof
	@bench/run
# Instructions, beside those on record: the same on a busy machine.
bench-quick:
	@scripts/deps build quick
	@$(MAKE) all
	@bench/quick $(if $(ACCEPT),--accept)

.PHONY: asan tsan fuzz
# Leaks are errors too; what a sanitizer says ends the program with status 99,
# which no test expects.
export ASAN_OPTIONS  ?= exitcode=99:detect_leaks=1:strict_string_checks=1:suppressions=$(CURDIR)/tests/asan.supp
export UBSAN_OPTIONS ?= print_stacktrace=1
export TSAN_OPTIONS  ?= exitcode=99:halt_on_error=1
asan:
	@scripts/deps build check
	@$(MAKE) B=build-asan SAN=asan OPT="-O1 -g" run-tests
tsan:
	@scripts/deps build check
	@$(MAKE) B=build-tsan SAN=tsan OPT="-O1 -g" T="$(or $(T),disk disk-calls job-calls examples)" run-tests
# T: seconds for each fuzzer; F: only this one.
fuzz:
	@scripts/deps build fuzz
	@$(MAKE) B=build-fuzz SAN=fuzz CC=$(CLANG) OPT="-O1 -g" fuzzers
	@scripts/fuzz "$(or $(T),60)" $(F)

# --- care ------------------------------------------------------------------------
.PHONY: lint format hdr-check abi-check abi-accept compile_commands.json
lint: compile_commands.json
	@scripts/deps build lint
	@scripts/lint $(C_FILES)
	@scripts/layers
	@$(MAKE) hdr-check abi-check
format:
	clang-format -i $(C_FILES)
hdr-check: $(HEADERS:%=$(B)/hdr/%.ok)
$(B)/hdr/%.ok: % $(B)/obj/flags
	@mkdir -p $(@D)
	@printf '#include "%s"\n#include "%s"\n' $< $< | $(COMPILE) -Wno-unused \
	  -Wno-unused-function -MMD -MP -MF $@.d -MT $@ -fsyntax-only -x c - && touch $@
abi-check: $(B)/$(SONAME)
	@scripts/abi check $<
abi-accept:
	@scripts/abi accept
define command
{"directory": "$(CURDIR)", "file": "$(1)", "output": "$(call obj,$(1))", "arguments": [$(subst $(space),$(comma) ,$(foreach \
  w,$(COMPILE) -c $(1),"$(subst ",\",$(subst ',,$(w)))"))]}
endef
comma := ,
empty :=
space := $(empty) $(empty)
define newline


endef
compile_commands.json:
	$(file >$@,[$(subst }$(space){,}$(comma)$(newline){,$(strip $(foreach \
	  f,$(filter-out examples/%,$(filter %.c,$(C_FILES))),$(call command,$(f)))))])

# The lists of errors and findings are made from the library's own tables.
.PHONY: docs
$(B)/tables: $(B)/obj/docs/tables.o $(B)/librehost.a
	$(call say,LINK    $@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)
docs: $(B)/tables all
	@set -e; for t in errors findings fixes; do $(B)/tables $$t >docs/$$t.md; done
	@scripts/man $(B)/rehost
	@scripts/man-ja

# --- packages ---------------------------------------------------------------------
.PHONY: deb repo check-deb
# Debian packages into build/deb; then a signed repository of them in DIR.
deb:
	@scripts/deps build deb
	@scripts/deb $(B)/deb
repo:
	@scripts/deps build deb
	@scripts/repo "$(DIR)" $(B)/deb
# lintian, and installing, trying and removing them in a bare Debian.
check-deb:
	@scripts/deps build check deb
	@TEST_TIMEOUT=1800 $(MAKE) run-tests DIR=tests/deb

# --- install -----------------------------------------------------------------------
DATA    = $(DESTDIR)$(PREFIX)/share/rehost
MANDIR  = $(DESTDIR)$(PREFIX)/share/man
SHAREDIR = $(DESTDIR)$(PREFIX)/share
put     = install -D -m 644 $(1) $(2)
MAN     = $(wildcard docs/man/*.[1-8])
MAN_JA  = $(wildcard docs/man/ja/*.[1-8])
MODELS  = $(wildcard targets/*/*.yaml)
$(B)/rehost.pc: rehost.pc.in $(B)/obj/places
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|' \
	  -e 's|@LIBS@|$(PKG_LIBS)|' $< >$@
.PHONY: install uninstall clean help
install: all $(B)/rehost.pc
	install -D -m 755 $(B)/rehost $(DESTDIR)$(PREFIX)/bin/rehost
	@set -e; for f in $(NTFS) $(ZFS); do \
	  install -D -m 755 $$f $(DESTDIR)$(PREFIX)/libexec/rehost/$${f##*/}; done
	@set -e; for f in $(NBDKIT); do \
	  install -D -m 755 $$f $(DESTDIR)$(LIBDIR)/nbdkit/plugins/$${f##*/}; done
	install -D -m 755 $(B)/$(SONAME) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/librehost.so
	$(call put,$(B)/librehost.a,$(DESTDIR)$(LIBDIR)/librehost.a)
	$(call put,$(B)/rehost.pc,$(DESTDIR)$(LIBDIR)/pkgconfig/rehost.pc)
	$(call put,include/rehost/rehost.h,$(DESTDIR)$(PREFIX)/include/rehost/rehost.h)
	@set -e; for f in $(MAN); do \
	  $(call put,$$f,$(MANDIR)/man$${f##*.}/$${f##*/}); done
	@set -e; for f in $(MAN_JA); do \
	  $(call put,$$f,$(MANDIR)/ja/man$${f##*.}/$${f##*/}); done
	$(call put,completions/rehost,$(SHAREDIR)/bash-completion/completions/rehost)
	$(call put,completions/_rehost,$(SHAREDIR)/zsh/vendor-completions/_rehost)
	$(call put,completions/rehost.fish,$(SHAREDIR)/fish/vendor_completions.d/rehost.fish)
	@set -e; for f in $(wildcard profiles/*.yaml) appliance/make appliance/init; do \
	  $(call put,$$f,$(DATA)/$$f); done
	@set -e; for f in $(MODELS); do \
	  $(call put,$$f,$(DATA)/models/$${f#targets/}); done
	@set -e; for f in $(wildcard docs/schemas/*); do \
	  $(call put,$$f,$(DATA)/schemas/$${f##*/}); done
	@set -e; for f in $(MO:$(B)/%=%); do $(call put,$(B)/$$f,$(DATA)/$$f); done
uninstall:
	rm -rf $(DATA) $(DESTDIR)$(PREFIX)/libexec/rehost
	rm -f $(DESTDIR)$(LIBDIR)/nbdkit/plugins/nbdkit-rehost-plugin.so
	rm -f $(DESTDIR)$(PREFIX)/bin/rehost $(DESTDIR)$(LIBDIR)/$(SONAME) \
	  $(DESTDIR)$(LIBDIR)/librehost.so $(DESTDIR)$(LIBDIR)/librehost.a \
	  $(DESTDIR)$(LIBDIR)/pkgconfig/rehost.pc \
	  $(SHAREDIR)/bash-completion/completions/rehost \
	  $(SHAREDIR)/zsh/vendor-completions/_rehost \
	  $(SHAREDIR)/fish/vendor_completions.d/rehost.fish \
	  $(foreach m,$(MAN),$(MANDIR)/man$(subst .,,$(suffix $(m)))/$(notdir $(m))) \
	  $(foreach m,$(MAN_JA),$(MANDIR)/ja/man$(subst .,,$(suffix $(m)))/$(notdir $(m)))
	rm -rf $(DESTDIR)$(PREFIX)/include/rehost
clean:
	rm -rf build build-asan build-tsan build-fuzz build-clang compile_commands.json

help:
	@echo 'make               build/rehost and build/librehost.{so.1,so,a}'
	@echo 'make demo          install what is missing, build, convert a sample, boot it'
	@echo 'make check [T=..]  every test that boots no guest; T names some of tests/*.sh'
	@echo 'make check-boot    tests that boot guests in software emulation'
	@echo 'make check-batch   batches: 30 kills, a Slurm of two nodes, 10,000 VMs'
	@echo 'make check-xen     boot a converted disk on a real Xen (about 10 minutes)'
	@echo 'make check-windows the first start of a Windows guest, under Wine'
	@echo 'make check-live    vSphere: its simulator, 20 VMs moved while they run'
	@echo 'make asan / tsan   the tests under ASan+UBSan; the copy under TSan'
	@echo 'make fuzz [T=60] [F=NAME]   every fuzzer (or one) for T seconds'
	@echo 'make bench         benchmarks against the peers'
	@echo 'make bench-quick   has a conversion become slower? (callgrind, 2 minutes)'
	@echo 'make lint          clang-format, clang-tidy, cppcheck, layers, headers, ABI'
	@echo 'make format po     reformat; take new messages over into po/'
	@echo 'make abi-accept    take new public calls over into librehost.map'
	@echo 'make deb           Debian packages into build/deb; make check-deb tries them'
	@echo 'make repo DIR=..   a signed apt repository of them (REHOST_KEY=KEYID)'
	@echo 'make install uninstall [DESTDIR=] [PREFIX=/usr/local]'
	@echo 'make compile_commands.json hdr-check abi-check clean'
	@echo 'V=1 (commands)  CC=clang  B=build-clang (folder)  WERROR=1  OPT="-O0 -g"'

-include $(patsubst %.o,%.d,$(call obj,$(LIB_SRC) $(CLI_SRC) $(NTFS_SRC) $(ZFS_SRC) $(FUZZ_SRC) \
  $(UNIT_SRC) $(wildcard tests/*.c) docs/tables.c)) $(EXAMPLES:=.d) $(NBDKIT:.so=.d) $(HEADERS:%=$(B)/hdr/%.ok.d)
