# Thin names for `python -m tools VERB`. STACK names the stack: lab (the guide's machines) or compact (two machines).
STACK ?= lab
TOOLS = .venv/bin/python -m tools --stack $(STACK)

.DEFAULT_GOAL := help

.PHONY: help setup up preview refresh destroy verify repair rotate status logs snapshot restore clone snapshots backup restore-db backups ssh shell test e2e faults clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z0-9 -]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

setup: ## Install and build everything that `pulumi up` needs
up: ## Set up, check, make the cloud, verify it (INSTANCE=1: by booting an instance, too)
preview: ## Show what `make up` would do
refresh: ## Bring Pulumi's state in line with what exists
destroy: ## Delete everything that `make up` made (YES=1: without asking)
verify: ## Ask the nodes and APIs whether all is right (JSON=1: as JSON; INSTANCE=1: boot an instance, too; PATIENCE=SECONDS: again and again for that long)
repair: ## Bring back what somebody changed by hand, after a preview (YES=1: without asking)
rotate: ## Another master secret, or another value of password NAME, after a preview (YES=1: without asking)
status: ## Show nodes, services and endpoints (JSON=1: as JSON)
logs: ## Collect logs and configuration of all nodes in one file, secrets masked
snapshot: ## Keep disks, memory and state of the whole lab as NAME
restore: ## Bring the lab back as it was at snapshot NAME
clone: ## Make the stack TO that begins with snapshot NAME of STACK
snapshots: ## List the snapshots (DELETE=NAME: delete one first)
backup: ## Keep all databases and token keys as NAME, encrypted
restore-db: ## Load databases and token keys as they were at backup NAME
backups: ## List the backups
ssh: ## Root's shell on machine NODE (RUN=COMMAND: that command there)
shell: ## A shell in which plain `pulumi up -s lab` and `virsh list` work
test: ## Format, lint, types and tests
e2e: ## Tests on real machines: minutes (RELEASE=…: another release, TEMPLATE=FILE: from that cloud image)
faults: ## Faults on real machines, and what the lab gets over: hours (SEED=N: repeat that run; ONLY=EXPRESSION; KEEP=1; RELEASE, TEMPLATE)
clean: ## Delete everything that `make setup` made, but for the cache that checkouts share (YES=1: machines, snapshots and backups, too)

setup up preview refresh shell:
	@python3 tools/bootstrap.py
	@$(TOOLS) $@ $(OPTIONS)

destroy repair rotate:
	@python3 tools/bootstrap.py
	@$(TOOLS) $@ $(OPTIONS) $(if $(YES),--yes)

snapshot restore backup restore-db:
	@test -n "$(NAME)" || { echo "error: $@ wants a name: make $@ NAME=…" >&2; exit 1; }
	@python3 tools/bootstrap.py
	@$(TOOLS) $@ "$(NAME)"

clone:
	@test -n "$(NAME)" -a -n "$(TO)" || { echo "error: clone wants two names: make clone NAME=… TO=…" >&2; exit 1; }
	@$(TOOLS) clone "$(NAME)" "$(TO)"

ssh:
	@test -n "$(NODE)" || { echo "error: ssh wants a machine: make ssh NODE=…" >&2; exit 1; }
	@$(TOOLS) ssh "$(NODE)" $(if $(value RUN),'$(subst ','\'',$(value RUN))')

test e2e faults:
	@python3 tools/bootstrap.py --dev
	@$(TOOLS) $@ $(OPTIONS)

verify status logs snapshots backups clean:
	@test -x .venv/bin/python || { echo "error: nothing is set up here" >&2; echo "remedy: make setup" >&2; exit 1; }
	@$(TOOLS) $@ $(OPTIONS)

up: OPTIONS = $(if $(INSTANCE),--instance)
verify: OPTIONS = $(if $(JSON),--json) $(if $(INSTANCE),--instance) $(if $(PATIENCE),--patience=$(PATIENCE))
status: OPTIONS = $(if $(JSON),--json)
clean: OPTIONS = $(if $(YES),--yes)
snapshots: OPTIONS = $(DELETE)
rotate: OPTIONS = $(NAME)
RELEASED = $(if $(RELEASE),--release=$(RELEASE)) $(if $(TEMPLATE),--template="$(TEMPLATE)")
e2e: OPTIONS = $(RELEASED)
faults: OPTIONS = $(RELEASED) $(if $(SEED),--seed=$(SEED)) $(if $(ONLY),-k "$(ONLY)") $(if $(KEEP),--keep)
