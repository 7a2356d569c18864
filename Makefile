# The commands of the project. `make help` lists them. Each is a few lines here or one script in
# install/, tests/ or bench/.

.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
JOBS := $(shell nproc)
SANITIZE ?=

.PHONY: help dev native bpf clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|'

dev: ## make .venv with the pinned tools, and build what is native
	@install/develop.sh
	@$(MAKE) --no-print-directory native

# Two builds at once in one tree would spoil each other's objects: one waits.
native: $(PYTHON) ## build the C extension and the programs into the tree (SANITIZE=1: into build/sanitize)
	@mkdir -p build
	@flock build/.lock $(MAKE) --no-print-directory -k -j$(JOBS) -C native PYTHON=$(abspath $(PYTHON)) SANITIZE=$(SANITIZE)

bpf: ## build the BPF objects and their skeletons into build/bpf
	@mkdir -p build
	@flock build/.lock $(MAKE) --no-print-directory -j$(JOBS) -C bpf

$(PYTHON):
	@install/develop.sh

clean: ## remove what was built in the tree; keeps .venv
	rm -rf build dist *.egg-info supervisord_asm/libexec supervisord_asm/_native*.so
