# The user's interface. `make help` says how to begin, `make help.all` lists every target.
#
# No target is a file: what decides is what a thing was made from, by content, not time stamps.
# The pipeline knows that of shards; of the rest it is written beside what was made (FRESH).

SHELL      := /bin/bash
.DEFAULT_GOAL := help

export PYTHON3 ?= python3
export PIP_OPTIONS
VENV       ?= .venv
PYTHON     := $(VENV)/bin/python
TARGETS    := help help.all setup shell demo test test.bare test.avx2 lint docs bench new torture audit \
              slurm.script clean table1 table3 table4 ablation figures
FOUND      := $(filter-out custom,$(basename $(notdir $(wildcard data_manifests/*.yaml))))
MANIFESTS  := $(filter-out $(filter-out demo,$(TARGETS)),$(FOUND))
$(foreach name,$(filter-out $(MANIFESTS),$(FOUND)),$(warning \
  data_manifests/$(name).yaml is left out: $(name) is a target of its own; rename it))
DATASETS   ?= $(filter-out demo,$(MANIFESTS))

DATA       ?= data
CACHE      ?= cache
RUNS       ?= runs
PRESET     ?= quick
METHOD     ?= unified
SEED       ?= 0
VARIANT    ?=
PRESETS    := $(basename $(notdir $(wildcard pipeline/presets/*.yaml)))
ALL_METHODS := $(basename $(notdir $(wildcard training/methods/*.yaml)))
KNOWN      := $(sort $(basename $(notdir $(wildcard pipeline/variants/*.yaml training/variants/*.yaml))))
CLUSTER    ?= processes
WORKERS    ?= 0
SITE       ?=
SHARE      ?=
REMOTE     ?=
ARRAY      ?= 8
STAGES     := labels frames instances masks inpaint flow mixed_flow features pa_features patches
# The peers train A^s alone, the baseline also A^t; D belongs to the paper's method.
NETWORKS   := $(if $(filter patch skip-frame steal memae,$(METHOD)),spatial,spatial temporal)
NETWORKS   += $(if $(filter unified,$(METHOD)),discriminator)

# ---------------------------------------------------------------- what is given

, := ,
lower = $(subst LABEL_RATE,label_rate,$(subst NORMAL,normal,$(subst TEST,test,$(subst LABELS,labels,$(1)))))
define newline


endef
# A value as one word of the shell, whatever is in it. Every value goes through here.
q = '$(subst $(newline),'$$'\n'',$(subst ','\'',$(1)))'

# A $ in what was given is a $, not the beginning of a variable of make's.
GIVEN   := DATA $(addprefix DATA_,$(MANIFESTS)) CACHE RUNS TABLES SITE SHARE REMOTE CLUSTER WORKERS ARRAY \
           PRESET METHOD SEED VARIANT ONTO NAME NORMAL TEST LABELS LABEL_RATE
written  = $(filter command environment,$(firstword $(origin $(1))))
$(foreach v,$(GIVEN),$(if $(call written,$(v)),$(eval override $(v) := $$(value $(v)))))
# One name of several that are known.
one_of   = $(if $(filter-out $($(2)),$($(1)))$(word 2,$($(1))),$(error $(1)=$($(1)): is none of $($(2))))
$(call one_of,PRESET,PRESETS)$(call one_of,METHOD,ALL_METHODS)$(call one_of,VARIANT,KNOWN)

# ---------------------------------------------------------------- set-up and tests

.PHONY: $(TARGETS)

help: ## how to begin
	@printf '%s\n' \
	  'What people do:' \
	  '  make demo                                     the whole method on generated videos' \
	  '  make new NAME=gate NORMAL=folder TEST=folder  describe your own videos, then: make gate' \
	  '  make ped2 DATA=folder                         a published data set, as downloaded' \
	  'For each of $(MANIFESTS):' \
	  '  NAME         everything: shards, training, scores, report; only what is missing' \
	  '  NAME.status  what is cached; .shards .train .evaluate .report: so far and no further' \
	  'The tables and figures of the paper, over DATASETS:'
	@grep -hE '^(table.|ablation|figures):.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'
	@printf '%s\n' 'Variables, now:' \
	  $(call q,  DATA=$(DATA)  CACHE=$(CACHE)  RUNS=$(RUNS)) \
	  $(call q,  PRESET=$(PRESET)  of $(PRESETS)) \
	  $(call q,  METHOD=$(METHOD)  of $(ALL_METHODS)) \
	  'make help.all: every target and variable. docs/index.md: all the rest.'

help.all: ## every target and variable
	@grep -hE '^[a-zA-Z0-9_.-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-24s %s\n", $$1, $$2}'
	@printf '%s\n' '' \
	  '  for each of: $(MANIFESTS)' \
	  '  NAME                     everything: shards, training, scores, report' \
	  '  NAME.STAGE               one stage with all that it reads: $(STAGES)' \
	  '  NAME.shards              every stage' \
	  '  NAME.train               A^s, A^t and D        (NAME.spatial .temporal .discriminator: one)' \
	  '  NAME.evaluate            scores and the AUC table' \
	  '  NAME.report              the report: one HTML file' \
	  "  NAME.transfer            scores of ONTO=OTHER by NAME's networks, without fine-tuning" \
	  '  NAME.status              what is cached and what is missing' \
	  '  NAME.verify              read every shard of CACHE and compare it with its record' \
	  '  NAME.repair              verify, and compute again just what is damaged' \
	  '  NAME.plan                write the ids of all shards; hash the videos for job arrays' \
	  '' '  variables (now):' \
	  $(call q,  DATA=$(DATA)  folder of the data set as downloaded$(,) or the one that holds several;) \
	  '      DATA_NAME=... for one of them elsewhere' \
	  $(call q,  CACHE=$(CACHE)  shards$(,) shared by all data sets and runs) \
	  $(call q,  RUNS=$(RUNS)  weights$(,) scores$(,) reports) \
	  $(call q,  PRESET=$(PRESET)  one of: $(PRESETS)) \
	  $(call q,  METHOD=$(METHOD)  one of: $(ALL_METHODS)) \
	  $(call q,  SEED=$(SEED)  of training) \
	  $(call q,  VARIANT=$(VARIANT)  none or one of: $(KNOWN)) \
	  $(call q,  DATASETS=$(DATASETS)  of the tables and figures) \
	  $(call q,  SEEDS=$(SEEDS)  of baseline and unified in them; PEER_SEEDS=$(PEER_SEEDS) of the others) \
	  $(call q,  CLUSTER=$(CLUSTER)  processes$(,) threads$(,) slurm or a scheduler's address tcp://HOST:PORT) \
	  $(call q,  WORKERS=$(WORKERS)  0: one a core) \
	  $(call q,  PYTHON3=$(PYTHON3)  the Python that setup makes $(VENV) with; PIP_OPTIONS=... more words for pip) \
	  $(call q,  SITE=$(SITE)  a SLURM cluster's YAML (docs/clusters.md)) \
	  $(call q,  SHARE=$(SHARE)  I/N: part I of N of the shards$(,) for job arrays without a scheduler) \
	  $(call q,  REMOTE=$(REMOTE)  a store of shards to take from instead of computing (docs/sharing.md)) \
	  $(call q,  ARRAY=$(ARRAY)  elements of the arrays that slurm.script submits) \
	  '  PIPELINE_OPTIONS, TRAINING_OPTIONS, EVALUATION_OPTIONS  more words for the programs' \
	  '      (docs/settings.md); on a finished run they are another run, or an error that says so'

setup: $(VENV)/.installed ## make .venv and install what constraints.txt pins

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt .ci/setup
	@.ci/setup '$(VENV)'
	@touch $@

demo: export PRESET := demo
demo: setup ## the whole method on generated videos, to a report
	$(PYTHON) -m pipeline demo $(call q,$(DATA)/demo) $(DEMO_OPTIONS)
	$(MAKE) --no-print-directory demo.all PRESET=demo

shell: setup ## a shell in which python is the one of .venv, for the commands of the pages
	@env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL bash --rcfile \
	  <(cat ~/.bashrc 2>/dev/null; cat '$(VENV)/bin/activate') -i

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

new: | setup ## your own videos: NAME=gate NORMAL=folder [TEST=folder] [LABELS=file [LABEL_RATE=25]]; again: adds to it
	@$(if $(NAME),,echo "error: NAME=... is needed, and NORMAL=... for a new one" >&2; exit 2;) \
	$(PYTHON) -m pipeline new $(call q,$(NAME)) $(foreach v,NORMAL TEST LABELS LABEL_RATE,$(if $($(v)), \
	  --$(call lower,$(v)) $(call q,$($(v)))))

torture: setup ## every fault that the cache must survive; writes build/torture.json
	$(PYTHON) -m tests.torture

audit: setup ## known vulnerabilities of what is installed, where the service can be reached
	$(PYTHON) -m pip install --quiet $(PIP_OPTIONS) pip-audit
	$(PYTHON) -m pip_audit --local --skip-editable

slurm.script: setup ## print what submits data set NAME to SLURM: arrays, trainings, report (SITE, ARRAY)
	@$(PYTHON) -m pipeline.execution.executors.slurm_script --site $(call q,$(SITE)) \
	  --dataset $(call q,$(or $(NAME),ped2)) --array $(call q,$(ARRAY)) --networks $(NETWORKS) \
	  --variables $(foreach v,DATA CACHE RUNS PRESET METHOD SEED,$(call q,$(v)=$($(v))))

clean: ## remove .venv and build; cache and runs stay
	rm -rf $(VENV) build *.egg-info

# ---------------------------------------------------------------- a data set

PIPELINE = $(PYTHON) -m pipeline
FOLDER   = $(or $(DATA_$(1)),$(DATA)$(if $(filter demo,$(1)),/demo))
SOURCE   = --source.manifest $(1) --source.data $(call q,$(call FOLDER,$(1))) --source.cache $(call q,$(CACHE))
CONFIG   = --config $(1)/presets/$(PRESET).yaml $(call VARIED,$(1))
PLANNED  = $(call CONFIG,pipeline) $(PIPELINE_OPTIONS) $(call SOURCE,$(1))
# A variant is a preset with some settings changed: pipeline/variants, training/variants.
VARIED   = $(addprefix --config ,$(wildcard $(1)/variants/$(VARIANT).yaml))
WHERE    = --cluster.kind $(call q,$(CLUSTER)) --cluster.workers $(call q,$(WORKERS)) \
           $(if $(SITE),--cluster.site $(call q,$(SITE))) $(if $(SHARE),--shards $(call q,$(SHARE))) \
           $(if $(REMOTE),--remote $(call q,$(REMOTE)))

RUN      = $(RUNS)/$(1)/$(PRESET)$(VARIANT:%=-%)
NAMED    = $(METHOD)-seed$(SEED)
OUT      = $(call RUN,$(1))/$(NAMED)
SHARDS   = $(call q,$(call RUN,$(1))/shards.json)
TRAINED  = $(call VARIED,training) $(TRAINING_OPTIONS) --seed $(call q,$(SEED)) --out $(call q,$(call OUT,$(1))/$(2)) \
           $(if $(VARIANT),--reuse $(call q,$(RUNS)/$(1)/$(PRESET)/$(NAMED)/$(2)))
SCORED   = --config evaluation/presets/$(PRESET).yaml $(EVALUATION_OPTIONS) --run $(call q,$(call OUT,$(1)))
RECIPES  = $(foreach n,$(NETWORKS),$(call q,$(call OUT,$(1))/$(n)/recipe.json))
# Calls the command after it unless that command, with what it reads, made what is there.
FRESH    = $(PYTHON) -IS pipeline/base/fresh.py
# A network: the command is the same with what was read, and its recipe is of these weights.
NETWORK  = $(FRESH) $(call q,$(call OUT,$(1))/$(2)/recipe.json) $(call q,$(call OUT,$(1))/$(2)/weights.safetensors) \
           --from $(call SHARDS,$(1)) $(if $(filter $(1).train $(1).$(2),$(MAKECMDGOALS)),,--quiet) --

define DATASET
.PHONY: $(1) $(addprefix $(1).,all shards train evaluate report transfer status verify repair plan)
.PHONY: $(addprefix $(1).,$(STAGES) spatial temporal discriminator)

$(if $(filter demo,$(1)),,$(1): $(1).all)

$(1).all: $(1).report

$(1).shards: | setup
	@$$(PIPELINE) run $$(call PLANNED,$(1)) $$(WHERE) --out $$(call q,$$(call RUN,$(1)))

$(foreach stage,$(STAGES),
$(1).$(stage): | setup
	@$$(PIPELINE) run $$(call PLANNED,$(1)) --source.only '[$(stage)]' $$(WHERE) --out $$(call q,$$(call RUN,$(1)))
)

$(1).train: $$(addprefix $(1).,$$(NETWORKS))

$(foreach network,spatial temporal,
$(1).$(network): $$(if $$(CHECKED),,$(1).shards) | setup
	@$$(call NETWORK,$(1),$(network)) $$(PYTHON) -m training autoencoder --config training/presets/$$(PRESET).yaml \
	  --config training/methods/$$(METHOD).yaml --shards $$(call SHARDS,$(1)) --network $(network) $$(call TRAINED,$(1),$(network))
)

$(1).discriminator: $$(if $$(CHECKED),,$(1).shards) | setup
	@$$(call NETWORK,$(1),discriminator) $$(PYTHON) -m training discriminator --config training/presets/$$(PRESET).yaml \
	  --shards $$(call SHARDS,$(1)) $$(call TRAINED,$(1),discriminator)

$(1).evaluate: $$(addprefix $(1).,$$(NETWORKS))
	@$$(FRESH) $$(call q,$$(call OUT,$(1))/metrics.json) --from $$(call SHARDS,$(1)) $$(call RECIPES,$(1)) \
	  $$(if $$(filter $$@,$$(MAKECMDGOALS)),,--quiet) -- $$(PYTHON) -m evaluation score $$(call SCORED,$(1))

$(1).transfer: $(1).evaluate $$(if $$(ONTO),$$(if $$(CHECKED),,$$(ONTO).shards),transfer.without.ONTO)
	@$$(FRESH) $$(call q,$$(call OUT,$(1))/transfer/$$(ONTO)/metrics.json) --from $$(call SHARDS,$$(ONTO)) $$(call RECIPES,$(1)) \
	  -- $$(PYTHON) -m evaluation score $$(call SCORED,$(1)) --shards $$(call SHARDS,$$(ONTO))

$(1).report: $(1).evaluate
	@$$(FRESH) $$(call q,$$(call OUT,$(1))/report.html) --from $$(call q,$$(call OUT,$(1))/metrics.json) \
	  $$(call SHARDS,$(1)) -- $$(PYTHON) -m evaluation report --run $$(call q,$$(call OUT,$(1)))

$(1).status: | setup
	@$$(PIPELINE) status $$(call PLANNED,$(1))

$(1).verify: | setup
	@$$(PIPELINE) verify --cache $$(call q,$$(CACHE))

$(1).plan: | setup
	@$$(PIPELINE) plan $$(call PLANNED,$(1)) --out $$(call q,$$(call RUN,$(1)))

$(1).repair: | setup
	@$$(PIPELINE) verify --repair true $$(call PLANNED,$(1)) \
	  --cluster.kind $$(call q,$$(CLUSTER)) --cluster.workers $$(call q,$$(WORKERS)) --out $$(call q,$$(call RUN,$(1)))
endef

$(foreach name,$(MANIFESTS),$(eval $(call DATASET,$(name))))

# ---------------------------------------------------------------- tables and figures

include tables.mk

# ---------------------------------------------------------------- what is no target

transfer.without.ONTO:
	@echo 'error: ONTO=... is needed: the data set that the networks are scored on' >&2; exit 2

.DEFAULT:
	@printf '%s\n' >&2 \
	  $(call q,error: $@: $(if $(filter $(MANIFESTS),$(firstword $(subst ., ,$@))),no such part of a data set: make help.all lists them,no such target and no such data set; there are $(MANIFESTS))) \
	  $(if $(filter $(MANIFESTS),$(firstword $(subst ., ,$@))),,$(call q,make new NAME=$(firstword $(subst ., ,$@)) NORMAL=folder describes your own videos; make help says how to begin)); exit 2
