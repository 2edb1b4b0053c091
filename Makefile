# Two commands: `make demo` (the main job on real data) and `make test`. Each sets up all that it needs first,
# and does again only what has changed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo test lint setup clean

# The first interpreter found that the dependencies allow; `make PYTHON=/path/to/python test` names another.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.10 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& { command -v $$p; break; }; done)
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
READY := $(VENV)/ready
DEMO := demo
DATA := datasets/hg19-dnase-6

export PATH := $(BIN):$(PATH)
export TF_CPP_MIN_LOG_LEVEL := 3

setup: $(READY)

$(READY): setup.cfg pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then echo "error: no Python 3.10 to 3.13 with venv found; install one (Debian: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3.11" >&2; exit 2; fi
	@if ! command -v bedtools >/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq bedtools; \
		elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then sudo apt-get update -qq && sudo apt-get install -y -qq bedtools; \
		else echo "error: the program bedtools is missing; install it with one of" >&2; \
			echo "  sudo apt-get install bedtools        (Debian, Ubuntu)" >&2; \
			echo "  brew install bedtools                (macOS)" >&2; \
			echo "  conda env create -f environment.yml && conda activate chromacc" >&2; exit 2; fi; fi
	[ -x $(VENV)/bin/python ] || "$(PYTHON)" -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=24" -c constraints.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --editable ".[test]"
	@touch $@

lint: $(READY)
	ruff check .
	ruff format --check .

test: $(READY)
	coverage erase
	python -m pytest -n 2 --dist worksteal --cov --cov-report=term

# Run a command once: what it printed is kept, and printed again the next time.
once = if [ ! -s $(DEMO)/$(1).txt ]; then $(2) >$(DEMO)/$(1).tmp; mv $(DEMO)/$(1).tmp $(DEMO)/$(1).txt; fi; cat $(DEMO)/$(1).txt
MODEL := $(DEMO)/models/hg19-dnase-6/Demo
FASTA := $(DATA)/genome/hg19.chr20.fa.gz
REGIONS := $(DATA)/new_regions.bed

# The main job on real data. What a step has made is not made again.
demo: $(READY)
	@mkdir -p $(DEMO)
	@echo "== 1. Build: DNase peaks of six cell types on chromosome 20 to a store"
	chromacc-data build $(DATA)/recipe.yaml -o $(DEMO)/hg19-dnase-6.zarr
	@echo "== 2. Train the factorization machines network"
	chromacc-models train $(DEMO)/hg19-dnase-6.zarr --config $(DATA)/demo.yaml -o $(DEMO)/run
	@echo "== 3. Score it on held-out blocks of the chromosome: chromacc-models evaluate $(DEMO)/run"
	@$(call once,evaluate,chromacc-models evaluate $(DEMO)/run)
	@echo "== 4. Read its filters as motifs: chromacc-models motifs $(DEMO)/run"
	@$(call once,motifs,chromacc-models motifs $(DEMO)/run)
	@$(call once,report,chromacc-models report $(DEMO)/run)
	@echo "== 5. Package it as a Kipoi model: chromacc-models package $(DEMO)/run --genome $(FASTA) --to $(MODEL)"
	@$(call once,package,chromacc-models package $(DEMO)/run --genome $(FASTA) --to $(MODEL) --overwrite)
	@echo "== 6. Kipoi predicts new regions: promoters that no training window touches"
	[ -s $(DEMO)/kipoi.tsv ] || kipoi predict $(MODEL) --source=dir \
		--dataloader_args='{"intervals_file": "$(REGIONS)", "fasta_file": "$(FASTA)"}' -o $(DEMO)/kipoi.tsv
	[ -s $(DEMO)/predictions.tsv ] || chromacc-models predict $(MODEL) $(REGIONS) $(FASTA) -o $(DEMO)/predictions.tsv
	@echo
	@echo "Written:"
	@echo "  $(DEMO)/hg19-dnase-6.zarr                  the store       (chromacc-data info $(DEMO)/hg19-dnase-6.zarr)"
	@echo "  $(DEMO)/run/                               the run         (model.keras, history.csv, evaluation.json)"
	@echo "  $(DEMO)/run/roc.png, motifs.png, curves.png  pictures      (motifs.meme holds the motifs)"
	@echo "  $(DEMO)/run/report.html                      scores, curves and motifs on one page"
	@echo "  $(DEMO)/models/hg19-dnase-6/Demo/          the Kipoi model (README.md is its card)"
	@echo "  $(DEMO)/kipoi.tsv                          what Kipoi predicted"
	@echo "  $(DEMO)/predictions.tsv                    the same, with named columns"
	@echo "Next, with . $(VENV)/bin/activate:"
	@echo "  chromacc-data verify $(DEMO)/hg19-dnase-6.zarr"
	@echo "  chromacc-models interactions $(DEMO)/run"
	@echo "  chromacc-models train $(DEMO)/hg19-dnase-6.zarr --network baseline -o $(DEMO)/baseline"
	@echo "  chromacc-models compare $(DEMO)/baseline $(DEMO)/run"
	@echo "  your own data: README.md, and the recipes in datasets/"

clean:
	rm -rf $(VENV) $(DEMO) build dist *.egg-info .coverage*
