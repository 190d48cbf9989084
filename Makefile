# SPDX-License-Identifier: Apache-2.0
# `make help` lists the targets. Everything built goes to $(O), the program also to ./uncoil.

O ?= .output
V ?= 0
PREFIX ?= /usr/local
CC = gcc
CLANG ?= clang
BPFTOOL ?= /usr/sbin/bpftool
ARCH := $(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/')
MULTIARCH := $(shell $(CC) -print-multiarch)

VERSION := 0.1.0
CPPFLAGS := -D_GNU_SOURCE -DUNCOIL_VERSION='"$(VERSION)"' -Iuser -Ibpf -I$(O)
CFLAGS ?= -O2 -g
WARN := -std=gnu11 -Wall -Wextra -Wtype-limits -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wno-unused-parameter -Wno-missing-field-initializers
HARDEN := -fstack-protector-strong -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables
# One static file that can be copied to any host; `make asan` links dynamically.
LINK ?= -static -s -Wl,--gc-sections
LIBS := -lbpf -lelf -lz -lm

ifeq ($(V),0)
Q := @
msg = @printf '  %-8s %s\n' '$(1)' '$(2)'
endif
ifeq ($(CI),true)
WARN += -Werror
endif

# maps first: bpftool's linker resolves an extern map only if its definition came before
# peers and trace are objects of their own
BPF_SRC := bpf/maps.bpf.c $(filter-out bpf/maps.bpf.c bpf/peers.bpf.c bpf/trace.bpf.c,$(wildcard bpf/*.bpf.c))
BPF_OBJ := $(BPF_SRC:%.c=$(O)/%.o)
PLAIN_OBJ := $(BPF_SRC:%.c=$(O)/plain/%.o)
USER_SRC := $(wildcard user/*/*.c)
USER_OBJ := $(USER_SRC:%.c=$(O)/%.o)
LIB_OBJ := $(filter-out $(O)/user/cmd/main.o,$(USER_OBJ))
UNIT := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(wildcard tests/unit/test_*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,$(O)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
SKEL := $(O)/uncoil.skel.h $(O)/plain.skel.h $(O)/peers.skel.h $(O)/trace.skel.h

.PHONY: all check check-bpf asan fuzz vm bench accuracy fmt fmt-check lint install clean help \
	offsets vmlinux compile-tests
.DELETE_ON_ERROR:
.SECONDARY:
all: uncoil ## build ./uncoil

uncoil: $(USER_OBJ)
	$(call msg,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LINK) -o $@ $^ $(LIBS)

# --- kernel side: several *.bpf.c, linked into one object, one skeleton; and once more for kernels
# without bpf_loop(), as bytes for the same skeleton (user/probe/programs.c)
BPF_CC = $(CLANG) -g -gno-column-info -gno-inline-line-tables -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) $(BPF_DEFS) -Wall -Wextra \
	-Wno-unused-parameter -Ibpf -Ivmlinux/$(ARCH) -idirafter /usr/include/$(MULTIARCH) -MMD -MP
$(O)/bpf/%.bpf.o: bpf/%.bpf.c
	$(call msg,BPF,$<)
	@mkdir -p $(@D)
	$(Q)$(BPF_CC) -c $< -o $@
$(O)/plain/bpf/%.bpf.o: bpf/%.bpf.c
	$(call msg,BPF,$< (plain loops))
	@mkdir -p $(@D)
	$(Q)$(BPF_CC) -DPLAIN_LOOPS -c $< -o $@
$(O)/uncoil.bpf.o: $(BPF_OBJ)
	$(call msg,BPFLINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $^
$(O)/plain.bpf.o: $(PLAIN_OBJ)
	$(call msg,BPFLINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $^
$(O)/uncoil.skel.h: $(O)/uncoil.bpf.o
	$(call msg,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name uncoil_bpf >$@
$(O)/peers.skel.h $(O)/trace.skel.h: $(O)/%.skel.h: $(O)/bpf/%.bpf.o
	$(call msg,SKEL,$@)
	$(Q)$(BPFTOOL) gen object $(O)/$*.bpf.o $<
	$(Q)$(BPFTOOL) gen skeleton $(O)/$*.bpf.o name $*_bpf >$@
$(O)/plain.skel.h: $(O)/plain.bpf.o
	$(call msg,EMBED,$@)
	$(Q)(echo 'static const unsigned char plain_object_gz[] = {'; gzip -9n <$< | xxd -i; echo '};'; \
		echo "#define PLAIN_OBJECT_SIZE $$(wc -c <$<)") >$@

# --- user side
$(O)/user/%.o: user/%.c | $(SKEL)
	$(call msg,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(HARDEN) $(WARN) -MMD -MP -c $< -o $@
$(O)/libuncoil.a: $(LIB_OBJ)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# the flame graph's page is embedded as a byte array
$(O)/user/sink/page.o: $(O)/flame_js.h $(O)/flame_css.h
$(O)/flame_%.h: user/sink/flame.%
	$(call msg,EMBED,$<)
	@mkdir -p $(@D)
	$(Q)(printf 'static const char flame_$*[] = {\n'; xxd -i <$<; printf ', 0\n};\n') >$@

# names of system calls, by number
$(O)/user/os/syscall.o: $(O)/syscalls.h
$(O)/syscalls.h:
	@mkdir -p $(@D)
	$(Q)echo '#include <asm/unistd.h>' | $(CC) -E -dM - | \
		sed -nE 's/^#define __NR_([a-z0-9_]+) ([0-9]+)$$/[\2] = "\1",/p' | sort -t[ -k2n >$@

# --- tests
$(O)/tests/unit/%: tests/unit/%.c $(O)/libuncoil.a
	$(call msg,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -Itests $(CFLAGS) $(WARN) $(TEST_LINK) -MMD -MP -o $@ $< \
		$(O)/libuncoil.a -lcmocka $(TEST_LIBS) $(LIBS)
# instructions are compared with those of a whole decoder, which the program does not have in it
$(O)/tests/unit/test_insn: TEST_LIBS = -lZydis
# the fuzzers' library: all of user/, compiled once to be fuzzed (make fuzz)
FUZZ_FLAGS := -O1 -g -fno-sanitize-recover=all -fsanitize=address,undefined
.PHONY: fuzz-programs
fuzz-programs: $(FUZZERS)
$(O)/tests/fuzz/%: tests/fuzz/%.c $(O)/libuncoil.a
	$(call msg,FUZZ,$@)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(CPPFLAGS) $(FUZZ_FLAGS),fuzzer -MMD -MP -o $@ $< $(O)/libuncoil.a $(LIBS)

compile-tests: uncoil $(UNIT)
check: uncoil $(UNIT) ## everyday tests: style, layers, units, golden journals; no root, under 30 s
	$(Q)scripts/check
check-bpf: uncoil compile-tests ## tests on this kernel with real interpreters; root
	$(Q)scripts/run-pytest tests/e2e
asan: ## build and run the everyday tests with address and undefined-behaviour sanitizers
	$(Q)$(MAKE) --no-print-directory O=.output/asan LINK= TEST_LINK= \
		CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined" \
		.output/asan/uncoil-asan asan-units
	$(Q)UNCOIL=$(CURDIR)/.output/asan/uncoil-asan UNITS=.output/asan/tests/unit \
		ASAN_OPTIONS=detect_leaks=1 scripts/check --tests-only
$(O)/uncoil-asan: $(USER_OBJ)
	$(call msg,LINK,$@)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(LIBS)
# what is measured against: BPF_DEFS says how it differs, O where it lies (scripts/bench)
$(O)/uncoil-bench: $(USER_OBJ)
	$(call msg,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LINK) -o $@ $^ $(LIBS)
.PHONY: asan-units
asan-units: $(UNIT)
SECS ?= 20
fuzz: ## fuzz every parser for SECS seconds each (default 20); T=name for one
	$(Q)$(MAKE) --no-print-directory O=.output/fuzzers CC=$(CLANG) CI= WARN=-w \
		CFLAGS="$(FUZZ_FLAGS),fuzzer-no-link" fuzz-programs
	$(Q)scripts/fuzz $(SECS) $(T)
vm: uncoil ## try ./uncoil on Debian's kernels from 5.10 to 7.3 under QEMU (scripts/vm); minutes
	$(Q)scripts/vm
bench: uncoil ## measure costs against the bare timer and Austin; root
	$(Q)scripts/bench
accuracy: uncoil ## are stacks and shares true? every Python, 40 minutes; root; QUICK=1: a minute; ONLY=3.12.1,tasks
	$(Q)PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 tests/accuracy/accuracy.py $(if $(QUICK),--quick) \
		$(if $(ONLY),--only $(ONLY))

# --- housekeeping
C_FILES = $(shell find bpf user tests -name '*.[ch]' ! -path user/python/table.h ! -path user/python/task_table.h ! -path user/python/opcode_table.h ! -path tests/unit/lines_golden.h)
fmt: ## format all C files
	$(Q)clang-format -i $(C_FILES)
fmt-check:
	$(Q)clang-format --dry-run -Werror $(C_FILES)
lint: ## clang-format, shellcheck, layers and style
	$(Q)scripts/lint
offsets: ## regenerate user/python/table.h, task_table.h, opcode_table.h from the Pythons at hand
	$(Q)scripts/gen-offsets >$(O)/table.h && mv $(O)/table.h user/python/table.h
	$(Q)scripts/gen-tasks >$(O)/task_table.h && mv $(O)/task_table.h user/python/task_table.h
	$(Q)scripts/gen-opcodes >$(O)/opcode_table.h && mv $(O)/opcode_table.h user/python/opcode_table.h
vmlinux: ## regenerate vmlinux/ for this architecture from the running kernel's BTF
	$(Q)scripts/gen-vmlinux >$(O)/vmlinux.h && mv $(O)/vmlinux.h vmlinux/$(ARCH)/vmlinux.h
install: uncoil ## install to $(PREFIX)
	install -D -m 755 uncoil $(DESTDIR)$(PREFIX)/bin/uncoil
	install -D -m 644 docs/uncoil.1 $(DESTDIR)$(PREFIX)/share/man/man1/uncoil.1
clean: ## remove everything built
	rm -rf .output uncoil
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 12

-include $(BPF_OBJ:.o=.d) $(O)/bpf/peers.bpf.d $(O)/bpf/trace.bpf.d $(PLAIN_OBJ:.o=.d) $(USER_OBJ:.o=.d) $(UNIT:=.d) $(FUZZERS:=.d)
