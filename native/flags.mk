# Flags of every C program and library here; each Makefile of native/ and procfs_shim/ may include it.
# BPF objects are another target with flags of their own (bpf/Makefile).
#
#   SANITIZE=1   address and undefined-behaviour sanitizers, into build/sanitize, for tests only
#   LDSTATIC     for a fully static program; empty under SANITIZE (a static one has no ASan)

CC ?= gcc
WARNINGS := -Wall -Wextra -Werror
# _GNU_SOURCE for memrchr, pidfd, clone3 and friends; empty, so that a file may define it as well.
CFLAGS_COMMON := -std=gnu17 -D_GNU_SOURCE= -g -fno-strict-aliasing -fno-common

ifeq ($(SANITIZE),1)
CFLAGS_COMMON += -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
LDFLAGS_COMMON := -fsanitize=address,undefined
LDSTATIC :=
else
# Full RELRO and fortified libc calls: these run as root and parse what agents influence.
CFLAGS_COMMON += -O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2
LDFLAGS_COMMON := -Wl,-z,relro,-z,now
LDSTATIC := -static
endif
