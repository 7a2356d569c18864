# The commands of the project. `make help` lists them. Each is a few lines here or one script in
# install/, tests/ or bench/.

.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
JOBS := $(shell nproc)
SANITIZE ?=

.PHONY: help up down purge dev native calls bpf check test test-long test-vm bench fmt clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|'

dev: ## make .venv with the pinned tools, and build what is native
	@install/develop.sh
	@$(MAKE) --no-print-directory native

# Two builds at once in one tree would spoil each other's objects: one waits.
native: $(PYTHON) ## build the C extension and the programs into the tree (SANITIZE=1: into build/sanitize)
	@mkdir -p build
	@flock build/.lock $(MAKE) --no-print-directory -k -j$(JOBS) -C native PYTHON=$(abspath $(PYTHON)) SANITIZE=$(SANITIZE)

calls: $(PYTHON) ## write what follows from the table of calls: C header, libasm's table, docs
	@$(PYTHON) -m native.calls_build

bpf: ## build the BPF objects and their skeletons into build/bpf
	@mkdir -p build
	@flock build/.lock $(MAKE) --no-print-directory -j$(JOBS) -C bpf

$(PYTHON):
	@install/develop.sh

check: native ## lint, types, unit tests and the laws; no root, under a minute
	@$(PYTHON) tests/suites.py check

test: native ## every suite: check, sim, kernel, sanitizers, and the VM with a stock 6.1 (root)
	@$(PYTHON) tests/suites.py test

test-long: native ## the same, with the slow tests and many more generated cases (root)
	@$(PYTHON) tests/suites.py long

test-vm: native ## boot a stock 6.1 and run the kernel suite in it (root; ALL=1: also what no kernel changes)
	@ASM_VM_ALL=$(ALL) $(PYTHON) tests/suites.py vm

bench: native ## measure against the peers, side by side (root; wants an idle machine)
	@$(PYTHON) -m bench.run $(BENCH)

fmt: $(PYTHON) ## format Python and C
	@$(PYTHON) -m ruff format .
	@$(PYTHON) -m ruff check --fix-only --quiet .
	@install/packages.sh format
	@git ls-files '*.c' '*.h' ':!:*vmlinux*' | xargs -r clang-format -i

up: ## install, build, start, wait until ready, show (root)
	@install/up.sh

down: ## stop all agents and programs, unmount; keeps /etc/asm and /var/lib/asm (root)
	@install/down.sh

purge: ## down, then remove everything that up made, also configuration and state (root)
	@install/purge.sh

clean: ## remove what was built in the tree; keeps .venv
	rm -rf build dist *.egg-info supervisord_asm/libexec supervisord_asm/devel supervisord_asm/_native*.so
