# The user's interface. `make help` lists every target.
#
# shards.json is remade by every call and changes only if its content does, so that what
# is trained and scored from it is made again when, and only when, something changed.

SHELL      := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export PYTHON3 ?= python3
export PIP_OPTIONS
VENV       ?= .venv
PYTHON     := $(VENV)/bin/python
MANIFESTS  := $(filter-out custom,$(basename $(notdir $(wildcard data_manifests/*.yaml))))
DATASETS   ?= $(filter-out demo,$(MANIFESTS))

DATA       ?= data
CACHE      ?= cache
RUNS       ?= runs
PRESET     ?= quick
METHOD     ?= unified
SEED       ?= 0
VARIANT    ?=
KNOWN      := $(sort $(basename $(notdir $(wildcard pipeline/variants/*.yaml training/variants/*.yaml))))
$(if $(filter-out $(KNOWN),$(VARIANT)),$(error VARIANT=$(VARIANT): is none of $(KNOWN)))
CLUSTER    ?= processes
WORKERS    ?= 0
SITE       ?=
SHARE      ?=
REMOTE     ?=
ARRAY      ?= 8
STAGES     := labels frames instances masks inpaint flow mixed_flow features pa_features
# The peers train A^s alone, the baseline also A^t; D belongs to the paper's method.
NETWORKS   := $(if $(filter patch skip-frame steal memae,$(METHOD)),spatial,spatial temporal)
NETWORKS   += $(if $(filter unified,$(METHOD)),discriminator)

# ---------------------------------------------------------------- set-up and tests

.PHONY: help setup demo test test.bare test.avx2 lint docs bench torture audit slurm.script new clean FORCE

help: ## this list
	@grep -hE '^[a-zA-Z0-9_.-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-24s %s\n", $$1, $$2}'
	@echo
	@echo "  for each of: $(MANIFESTS)"
	@echo "  NAME                     everything: shards, training, scores, report"
	@echo "  NAME.STAGE               one stage with all that it reads: $(STAGES)"
	@echo "  NAME.shards              every stage"
	@echo "  NAME.train               A^s, A^t and D        (NAME.spatial .temporal .discriminator: one)"
	@echo "  NAME.evaluate            scores and the AUC table"
	@echo "  NAME.report              the report: one HTML file"
	@echo "  NAME.transfer            scores of ONTO=OTHER by NAME's networks, without fine-tuning"
	@echo "  NAME.status              what is cached and what is missing"
	@echo "  NAME.verify              read every shard of CACHE and compare it with its record"
	@echo "  NAME.repair              verify, and compute again just what is damaged"
	@echo "  NAME.plan                write the ids of all shards; hash the videos for job arrays"
	@echo
	@echo "  variables (now):"
	@echo "  DATA=$(DATA)  folder of the data set as downloaded, or the one that holds several;"
	@echo "      DATA_NAME=... for one of them elsewhere"
	@echo "  CACHE=$(CACHE)  shards, shared by all data sets and runs"
	@echo "  RUNS=$(RUNS)  weights, scores, reports"
	@echo "  PRESET=$(PRESET)  one of: $(basename $(notdir $(wildcard pipeline/presets/*.yaml)))"
	@echo "  METHOD=$(METHOD)  one of: $(basename $(notdir $(wildcard training/methods/*.yaml)))"
	@echo "  SEED=$(SEED)  of training"
	@echo "  VARIANT=$(VARIANT)  none or one of: $(KNOWN)"
	@echo "  DATASETS=$(DATASETS)  of the tables and figures"
	@echo "  SEEDS=$(SEEDS)  of baseline and unified in them; PEER_SEEDS=$(PEER_SEEDS) of the others"
	@echo "  CLUSTER=$(CLUSTER)  processes, threads, slurm or a scheduler's address tcp://HOST:PORT"
	@echo "  WORKERS=$(WORKERS)  0: one a core"
	@echo "  PYTHON3=$(PYTHON3)  the Python that setup makes $(VENV) with; PIP_OPTIONS=... more words for pip"
	@echo "  SITE=$(SITE)  a SLURM cluster's YAML (docs/clusters.md)"
	@echo "  SHARE=$(SHARE)  I/N: part I of N of the shards, for job arrays without a scheduler"
	@echo "  REMOTE=$(REMOTE)  a store of shards to take from instead of computing (docs/sharing.md)"
	@echo "  ARRAY=$(ARRAY)  elements of the arrays that slurm.script submits"

setup: $(VENV)/.installed ## make .venv and install what constraints.txt pins

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt .ci/setup
	@.ci/setup '$(VENV)'
	@touch $@

demo: export PRESET := demo
demo: setup ## the whole method on generated videos, to a report
	$(PYTHON) -m pipeline demo $(DATA)/demo $(DEMO_OPTIONS)
	$(MAKE) --no-print-directory demo.all PRESET=demo

test: setup ## the whole test suite
	$(PYTHON) -m pytest $(PYTEST_OPTIONS)

test.bare: ## demo and tests in a minimal Debian of their own (.ci/bare says where and how)
	.ci/bare

# What a processor without AVX-512 computes, on any with AVX2.
test.avx2: export NPY_DISABLE_CPU_FEATURES := X86_V4 AVX512_ICL AVX512_SPR
test.avx2: export ATEN_CPU_CAPABILITY := avx2
test.avx2: export ONEDNN_MAX_CPU_ISA := AVX2
test.avx2: export NUMBA_CPU_NAME := haswell
test.avx2: test ## the whole test suite as a processor without AVX-512 runs it

lint: setup ## ruff, mypy and who may import whom
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	$(VENV)/bin/lint-imports --no-logo

docs: $(VENV)/.docs ## this documentation as a site, warnings as errors: build/docs/index.html
	$(PYTHON) -m sphinx -W --keep-going -q -E -a -b html docs build/docs

$(VENV)/.docs: $(VENV)/.installed
	$(PYTHON) -m pip install --quiet $(PIP_OPTIONS) -c constraints.txt -e '.[docs]'
	@touch $@

bench: setup ## every claim about speed, each beside a peer; writes build/bench.json
	$(PYTHON) -m benchmarks

new: | setup ## a manifest for your own videos: NAME=gate NORMAL=folder [TEST=folder] [LABELS=file]
	@$(if $(and $(NAME),$(NORMAL)),,echo "error: NAME=... and NORMAL=... are needed" >&2; exit 2;) \
	$(PYTHON) -m pipeline new "$(NAME)" "$(NORMAL)" $(if $(TEST),--test "$(TEST)") $(if $(LABELS),--labels "$(LABELS)")

torture: setup ## every fault that the cache must survive; writes build/torture.json
	$(PYTHON) -m tests.torture

audit: setup ## known vulnerabilities of what is installed, where the service can be reached
	$(PYTHON) -m pip install --quiet $(PIP_OPTIONS) pip-audit
	$(PYTHON) -m pip_audit --local --skip-editable

slurm.script: setup ## print what submits data set NAME to SLURM: arrays, trainings, report (SITE, ARRAY)
	@$(PYTHON) -m pipeline.execution.executors.slurm_script --site '$(SITE)' --dataset $(or $(NAME),ped2) --array $(ARRAY) \
	  --networks $(NETWORKS) --variables 'DATA=$(DATA)' 'CACHE=$(CACHE)' 'RUNS=$(RUNS)' PRESET=$(PRESET) METHOD=$(METHOD) SEED=$(SEED)

clean: ## remove .venv and build; cache and runs stay
	rm -rf $(VENV) build *.egg-info

# ---------------------------------------------------------------- a data set

PIPELINE = $(PYTHON) -m pipeline
FOLDER   = $(or $(DATA_$(1)),$(DATA)$(if $(filter demo,$(1)),/demo))
SOURCE   = --source.manifest $(1) --source.data $(call FOLDER,$(1)) --source.cache $(CACHE)
CONFIG   = --config $(2)/presets/$(PRESET).yaml $(call VARIED,$(2)) $(PIPELINE_OPTIONS)
# A variant is a preset with some settings changed: pipeline/variants, training/variants.
VARIED   = $(addprefix --config ,$(wildcard $(1)/variants/$(VARIANT).yaml))
TRAINED  = $(call VARIED,training) $(TRAINING_OPTIONS) --seed $(SEED) --out $(1) \
           $(if $(VARIANT),--reuse $(RUNS)/$(2)/$(PRESET)/$(METHOD)-seed$(SEED)/$(notdir $(1)))
SCORED   = --config evaluation/presets/$(PRESET).yaml $(EVALUATION_OPTIONS)
WHERE    = --cluster.kind $(CLUSTER) --cluster.workers $(WORKERS) \
           $(if $(SITE),--cluster.site $(SITE)) $(if $(SHARE),--shards $(SHARE)) $(if $(REMOTE),--remote '$(REMOTE)')

define DATASET
.PHONY: $(1) $(1).all $(1).shards $(1).train $(1).evaluate $(1).report $(1).status $(1).verify
$(1)_RUN = $$(RUNS)/$(1)/$$(PRESET)$$(VARIANT:%=-%)
$(1)_OUT = $$($(1)_RUN)/$$(METHOD)-seed$$(SEED)

$(if $(filter demo,$(1)),,$(1): $(1).all)

$(1).all: $(1).report

$(1).shards: $$($(1)_RUN)/shards.json

$$($(1)_RUN)/shards.json: $$(if $$(CHECKED),,FORCE) | setup
	@$$(PIPELINE) run $$(call CONFIG,$(1),pipeline) $$(call SOURCE,$(1)) $$(WHERE) --out $$($(1)_RUN)

$(foreach stage,$(STAGES),
.PHONY: $(1).$(stage)
$(1).$(stage): | setup
	@$$(PIPELINE) run $$(call CONFIG,$(1),pipeline) $$(call SOURCE,$(1)) --source.only '[$(stage)]' $$(WHERE) --out $$($(1)_RUN)
)

$(1).train: $$(addprefix $(1).,$$(NETWORKS))

$(foreach network,spatial temporal,
.PHONY: $(1).$(network)
$(1).$(network): $$($(1)_OUT)/$(network)/weights.safetensors
$$($(1)_OUT)/$(network)/weights.safetensors: $$($(1)_RUN)/shards.json training/presets/$$(PRESET).yaml training/methods/$$(METHOD).yaml
	@$$(PYTHON) -m training autoencoder --config training/presets/$$(PRESET).yaml --config training/methods/$$(METHOD).yaml \
	  --shards $$< --network $(network) $$(call TRAINED,$$(@D),$(1))
)

.PHONY: $(1).discriminator
$(1).discriminator: $$($(1)_OUT)/discriminator/weights.safetensors
$$($(1)_OUT)/discriminator/weights.safetensors: $$($(1)_RUN)/shards.json training/presets/$$(PRESET).yaml
	@$$(PYTHON) -m training discriminator --config training/presets/$$(PRESET).yaml --shards $$< $$(call TRAINED,$$(@D),$(1))

$(1).evaluate: $$($(1)_OUT)/metrics.json
$$($(1)_OUT)/metrics.json: $$(foreach n,$$(NETWORKS),$$($(1)_OUT)/$$(n)/weights.safetensors) evaluation/presets/$$(PRESET).yaml
	@$$(PYTHON) -m evaluation score $$(SCORED) --run $$(@D)

.PHONY: $(1).transfer
$(1).transfer: $$($(1)_OUT)/transfer/$$(ONTO)/metrics.json
$$($(1)_OUT)/transfer/$$(ONTO)/metrics.json: $$($(1)_OUT)/metrics.json $$(RUNS)/$$(ONTO)/$$(PRESET)$$(VARIANT:%=-%)/shards.json
	@$$(PYTHON) -m evaluation score $$(SCORED) --run $$($(1)_OUT) --shards $$(lastword $$^)

$(1).report: $$($(1)_OUT)/report.html
$$($(1)_OUT)/report.html: $$($(1)_OUT)/metrics.json
	@$$(PYTHON) -m evaluation report --run $$(@D)

$(1).status: | setup
	@$$(PIPELINE) status $$(call CONFIG,$(1),pipeline) $$(call SOURCE,$(1))

$(1).verify: | setup
	@$$(PIPELINE) verify --cache $$(CACHE)

.PHONY: $(1).plan $(1).repair
$(1).plan: | setup
	@$$(PIPELINE) plan $$(call CONFIG,$(1),pipeline) $$(call SOURCE,$(1)) --out $$($(1)_RUN)

$(1).repair: | setup
	@$$(PIPELINE) verify --repair true $$(call CONFIG,$(1),pipeline) $$(call SOURCE,$(1)) \
	  --cluster.kind $$(CLUSTER) --cluster.workers $$(WORKERS) --out $$($(1)_RUN)
endef

$(foreach name,$(MANIFESTS),$(eval $(call DATASET,$(name))))

# ---------------------------------------------------------------- tables and figures

include tables.mk
