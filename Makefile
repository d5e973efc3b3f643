# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

VENV ?= .venv
INVENTORY ?= playbooks/inventory
# One more than the two cores of a small machine: a test often waits.
WORKERS ?= 3

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := $(abspath $(VENV))/bin
PLAYBOOK := $(BIN)/ansible-playbook -i $(INVENTORY)
RUNTIME := scripts/requirements.txt meta/ee-requirements.txt
TESTING := $(RUNTIME) tests/requirements.txt tests/lint/requirements.txt

# Named here because Ansible passes over the ansible.cfg of a directory that everybody may write to.
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
# Ansible refuses to run in a locale that is not UTF-8, and a fresh machine may have none.
export LC_ALL := C.UTF-8
export PATH := $(BIN):$(PATH)

# With -n, tests that share a file share a worker, so that what a file sets up is set up once. Their order is that of tests/conftest.py.
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: help venv venv-testing packages prepare fleet clean test lint unit integration bench

help: ## Show what there is to make
	@sed -n 's/^\([a-z]*\): .*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

fleet: venv ## Prepare this machine, make the example fleet, configure it, show the inventory
	@$(PLAYBOOK) kraal.virt.site
	@$(BIN)/ansible-inventory -i $(INVENTORY) --graph

clean: ## Take the example fleet away again
	@if [ -x $(BIN)/ansible-playbook ]; then \
	    $(PLAYBOOK) kraal.virt.teardown; \
	else \
	    echo 'Nothing to take away: there is no $(VENV), so no fleet was made from here.'; \
	fi

test: prepare ## Install what the tests need, then lint, unit and integration tests
	@mkdir -p .cache
	@$(PYTEST) --durations 20 tests/lint tests/unit tests/integration 2>&1 | tee .cache/test.log

lint: venv-testing ## ruff, mypy, yamllint, ansible-lint, ansible-test sanity, antsibull
	@$(PYTEST) tests/lint

unit: venv-testing ## Tests that need no engine
	@$(PYTEST) tests/unit

integration: prepare ## Tests against the real engine
	@$(PYTEST) tests/integration

bench: prepare ## Measure against community.docker; prints a table and writes JSON
	@$(BIN)/python -m tests.bench

prepare: venv-testing packages
	@$(PLAYBOOK) kraal.virt.prepare

packages:
	@scripts/packages tests/apt-packages.txt

venv:
	@scripts/bootstrap $(VENV) $(RUNTIME)

venv-testing:
	@scripts/bootstrap $(VENV) $(TESTING)
