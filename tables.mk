# The paper's tables and figures, each by one command: what is missing is computed run by run,
# then the table is printed. A run that fails does not stop the others; the table says so.
# docs/tables.md explains the variables.

SEEDS      ?= 0 1 2
PEER_SEEDS ?= 0
METHODS    ?= baseline patch skip-frame steal memae unified
TRAIN      ?= $(or $(filter ubnormal,$(DATASETS)),$(firstword $(DATASETS)))
# The paper's preset has 256 px already, the others 128; the demo's shards have no more.
VARIANTS   ?= $(filter-out $(or $(SIZE_$(PRESET)),px-128),$(KNOWN))
SIZE_paper := px-256
SIZE_demo  := px-128 px-256
PROTOCOLS  ?=
TABLES     ?= $(RUNS)/tables

# A run is called DATASET/VARIANT/METHOD/SEED; the variant "-" is the preset as it is.
seeds  = $(if $(filter baseline unified,$(1)),$(SEEDS),$(PEER_SEEDS))
runs   = $(foreach m,$(METHODS),$(foreach s,$(call seeds,$m),$(1:%=%/-/$m/$s)))
onto   = $(foreach m,$(METHODS),$(foreach s,$(call seeds,$m),$(1:%=$(TRAIN)/%/$m/$s)))
others = $(filter-out $(TRAIN),$(DATASETS))

table1: | setup ## Tables 1 and 2: every method on DATASETS, beside the published numbers
	$(call launch,$(DATASETS:%=shards/%/-),$(addprefix run/,$(call runs,$(DATASETS))))
	$(call print,$@)

table3: | setup ## transfer: trained on TRAIN, scored on the other DATASETS as it is
	$(call launch,$(patsubst %,shards/%/-,$(TRAIN) $(others)),$(addprefix onto/,$(call onto,$(others))))
	$(call print,$@)

table4: | setup ## A^s alone with random and with segmentation masks
	$(call launch,$(foreach v,- random-masks,$(DATASETS:%=shards/%/$v)),\
	  $(foreach v,- random-masks,$(foreach s,$(PEER_SEEDS),$(DATASETS:%=run/%/$v/unified/$s))),\
	  NETWORKS=spatial)
	$(call print,$@)

ablation: | setup ## indicators, protocols, and VARIANTS of the paper's method
	$(call launch,$(foreach v,- $(VARIANTS),$(DATASETS:%=shards/%/$v)),\
	  $(foreach v,- $(VARIANTS),$(foreach s,$(PEER_SEEDS),$(DATASETS:%=run/%/$v/unified/$s))))
	$(call print,$@)

figures: | setup ## Figures 2 to 4 of DATASETS over METHODS, and a page that compares them
	$(call launch,$(DATASETS:%=shards/%/-),\
	  $(foreach m,$(METHODS),$(DATASETS:%=run/%/-/$m/$(firstword $(SEEDS)))))
	$(foreach d,$(DATASETS),$(call compare,$d,$(call methods,$d)))

# ---------------------------------------------------------------- how

empty :=
space := $(empty) $(empty)
comma := ,
list   = '[$(subst $(space),$(comma),$(strip $(1)))]'
methods = $(foreach m,$(METHODS),$(call q,$(RUNS)/$(1)/$(PRESET)/$m-seed$(firstword $(SEEDS))))

# Shards first, then runs; -k: what fails does not stop the rest.
define launch
-@+$(MAKE) -k --no-print-directory $(1)
-@+$(MAKE) -k --no-print-directory $(2) $(3)
endef

define print
@$(PYTHON) -m evaluation tables $(DATASETS) --which $(1) --runs $(call q,$(RUNS)) --preset $(PRESET) \
  --out $(call q,$(TABLES))$(if $(PROTOCOLS), --protocols $(call list,$(PROTOCOLS)))$(if $(filter table3,$(1)), --train $(TRAIN))
endef

define compare
@runs=(); for run in $(2); do [ ! -e "$$run/metrics.json" ] || runs+=("$$run"); done; \
if [ $${#runs[@]} -gt 1 ]; \
then $(PYTHON) -m evaluation compare "$${runs[@]}" --out $(call q,$(TABLES)/$(1)) $(FIGURES); \
else echo "$(1): fewer than two methods have been scored: no figures"; fi

endef

# Parts of a target's name, and the folders that it stands for.
part    = $(word $(1),$(subst /, ,$@))
variant = $(filter-out -,$(call part,3))
where   = $(RUNS)/$(call part,2)/$(PRESET)$(addprefix -,$(variant))
run     = $(where)/$(call part,4)-seed$(call part,5)
# Failures leave a line that the tables show, until the next attempt.
note    = { mkdir -p $(call q,$(1)); echo "$(2)" > $(call q,$(1)/failed.txt); exit 1; }

shards/%:
	@rm -f $(call q,$(where)/failed.txt)
	@$(PIPELINE).data.find $(call part,2) $(call q,$(call FOLDER,$(call part,2))) || $(call note,$(where),data not at hand)
	@$(MAKE) --no-print-directory $(call part,2).shards VARIANT=$(variant) || $(call note,$(where),shards failed)

run/%:
	@rm -f $(call q,$(run)/failed.txt)
	@[ -e $(call q,$(where)/failed.txt) ] || $(MAKE) --no-print-directory $(call part,2).evaluate CHECKED=1 \
	  VARIANT=$(variant) METHOD=$(call part,4) SEED=$(call part,5) || $(call note,$(run),failed)

# Here the third part is the data set that is scored.
onto/%: from = $(RUNS)/$(call part,2)/$(PRESET)
onto/%: to   = $(RUNS)/$(call part,3)/$(PRESET)
onto/%: run  = $(from)/$(call part,4)-seed$(call part,5)/transfer/$(call part,3)
onto/%:
	@rm -f $(call q,$(run)/failed.txt)
	@[ -e $(call q,$(from)/failed.txt) ] || [ -e $(call q,$(to)/failed.txt) ] || $(MAKE) --no-print-directory \
	  $(call part,2).transfer ONTO=$(call part,3) CHECKED=1 METHOD=$(call part,4) SEED=$(call part,5) \
	  || $(call note,$(run),failed)
