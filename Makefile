# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

VENV ?= .venv
INVENTORY ?= playbooks/inventory
# Two more than the two cores of a small machine: a test often waits, and while there are files that do little else, the last worker has them alone.
WORKERS ?= 4

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Neither make nor a list of paths can have such a directory in it.
ifneq ($(words $(CURDIR))$(findstring :,$(CURDIR)),1)
$(error The path of this checkout, "$(CURDIR)", has a space or a colon in it, and neither make nor PATH can. Move it to a path without, such as /root/kraal.virt)
endif

BIN := $(abspath $(VENV))/bin
PLAYBOOK := $(BIN)/ansible-playbook -i $(INVENTORY)
RUNTIME := scripts/requirements.txt meta/ee-requirements.txt
TESTING := $(RUNTIME) tests/requirements.txt tests/lint/requirements.txt

# Named here because Ansible passes over the ansible.cfg of a directory that everybody may write to.
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
# Ansible refuses to run in a locale that is not UTF-8, and a fresh machine may have none.
export LC_ALL := C.UTF-8
export PATH := $(BIN):$(PATH)

# What shares a worker, and in which order, is said by tests/support/schedule.py, from what --record wrote at the end of earlier runs.
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --record

# The tests that have an engine in their names.
of = $(wildcard tests/unit/*/$(1) tests/integration/$(1) tests/integration/$(1)_* $(foreach before,test_ test_role_,tests/integration/$(before)$(1)_*.py))

.PHONY: help venv venv-testing packages prepare fleet clean purge check test test-docker test-lxc test-kvm test-all only-all durations lint unit integration bench root

help: ## Show what there is to make
	@sed -n 's/^\([a-z-]*\):.* ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

fleet: root venv ## Prepare this machine, make the example fleet, configure it, show its guests
	@$(PLAYBOOK) kraal.virt.site
	@printf '%s\n' \
	    'What next:' \
	    '  . scripts/activate                  puts ansible onto the path of this shell' \
	    '  ansible-inventory --graph           what runs, and in which groups' \
	    '  ansible all -m ping                 reach every guest, and this host' \
	    '  ansible web-1 -a "cat /etc/motd"    run a command in one' \
	    '  playbooks/inventory/group_vars/virt_hosts.yml    what is declared: change it, and run make fleet again' \
	    '  make clean                          take the fleet away again; make purge takes the images and the key too'

clean: ## Take the example fleet away again, and say what stays
	@if [ -x $(BIN)/ansible-playbook ]; then \
	    $(PLAYBOOK) kraal.virt.teardown; \
	    printf '%s\n' \
	        'What stays: the packages and daemons of Docker, LXC and KVM with their bridges (docker0, lxcbr0, virbr0), the base images in' \
	        '/var/cache/kraal.virt and in Docker, the key ~/.ssh/kraal_virt_ed25519, logs in /var/log/libvirt, and $(VENV).' \
	        'make purge takes the images and the key too.'; \
	else \
	    echo 'Nothing to take away: there is no $(VENV), so no fleet was made from here.'; \
	fi

purge: clean ## Take away the base images and the key as well
	@if [ -x $(BIN)/ansible-playbook ]; then $(PLAYBOOK) kraal.virt.purge; fi

# Nothing waits here, and each worker takes seconds to read all tests.
check lint unit: WORKERS = $(shell nproc)

check: venv-testing ## Lint what was changed since main, and run the unit tests: a minute, without root or an engine
	@$(PYTEST) --changed tests/lint tests/unit

test: prepare ## Install what the tests need, then show every promise once: lint, unit and integration tests
	@mkdir -p .cache
	@$(PYTEST) tests/lint tests/unit tests/integration 2>&1 | tee .cache/test.log

test-docker: prepare ## What is tested of Docker alone
	@$(PYTEST) $(call of,docker)

test-lxc: prepare ## What is tested of LXC alone
	@$(PYTEST) $(call of,lxc)

test-kvm: prepare ## What is tested of KVM alone
	@$(PYTEST) $(call of,kvm) tests/integration/test_hypervisor.py

test-all: prepare ## The same as test on both releases and every kind of host, with every row alone and every crash
	@mkdir -p .cache
	@$(PYTEST) --all tests/lint tests/unit tests/integration 2>&1 | tee .cache/test.log

only-all: venv-testing ## List what test-all runs and test does not, with the reasons
	@PYTHONPATH=.collections $(BIN)/python -m tests.lint.collection

durations: ## Write tests/durations.json from the last run's figures
	@$(BIN)/python -m tests.support.durations

lint: venv-testing ## ruff, mypy, yamllint, ansible-lint, ansible-test sanity, antsibull
	@$(PYTEST) tests/lint

unit: venv-testing ## Tests that need no engine
	@$(PYTEST) tests/unit

integration: prepare ## Tests against the real engines
	@$(PYTEST) tests/integration

bench: prepare ## Measure against community.docker; prints a table and writes JSON
	@$(BIN)/python -m tests.bench

# Only this machine's own inventory needs root here; other hosts say themselves how to become root.
root: ## Fail where fleet needs root and this is not root
	@[ "$$(id -u)" = 0 ] || [ '$(INVENTORY)' != playbooks/inventory ] || { \
	    echo 'make fleet installs packages on this machine and starts daemons. Run it as root: sudo make fleet' >&2; exit 1; }

prepare: venv-testing packages ## Make this machine able to run guests, and the tests
	@$(PLAYBOOK) kraal.virt.prepare

packages: ## Install the Debian packages of the tests
	@scripts/packages tests/apt-packages.txt

venv: ## Make the virtual environment with ansible-core
	@scripts/bootstrap $(VENV) $(RUNTIME)

venv-testing: ## The same, with what the tests import
	@scripts/bootstrap $(VENV) $(TESTING)
