# Everything a user runs. Variables: PROFILE=smoke|quick|standard|full  SEEDS="0 1 2"  DEVICE=auto|cpu|cuda  RUNS=runs
PYTHON  ?= python3
PROFILE ?= quick
SEEDS   ?= 0
DEVICE  ?= auto
RUNS    ?= runs
NAME    ?= $(USER)
$(foreach name,PROFILE RUNS,$(if $(strip $($(name))),,$(error $(name) is empty; give it a value or leave it out)))
VENV    := .venv
BREAKOUT := $(VENV)/bin/breakout
FLAGS   = --profile '$(PROFILE)' --device '$(DEVICE)' --runs '$(RUNS)'
TRAIN   = for seed in $(or $(strip $(SEEDS)),""); do $(BREAKOUT) train $@ --seed "$$seed" $(FLAGS) || exit $$?; done

.PHONY: help setup compare curve supervised_regressor supervised_cloning reinforcement_ppo shallow race supervised unsupervised reinforcement evaluate replay report watch results record test check bench clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z_]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z_]+):.*## /\1|/' | awk -F'|' '{printf "  make %-21s %s\n", $$1, $$2}'
	@echo '  variables:  PROFILE=$(PROFILE) SEEDS="$(SEEDS)" DEVICE=$(DEVICE) RUNS=$(RUNS)'

setup: $(VENV)/.ready ## create .venv and install the pinned dependencies

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; point PYTHON at one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

compare: setup ## train all three, judge, film, report (resumes where it was stopped)
	@$(BREAKOUT) compare --seeds $(SEEDS) $(FLAGS)

supervised: setup ## learn from the demonstrator's labels
	@$(TRAIN)
unsupervised: setup ## learn from unlabelled exploration
	@$(TRAIN)
reinforcement: setup ## learn from the score
	@$(TRAIN)
supervised_regressor: setup ## the same, but a regressor of where the ball lands
	@$(TRAIN)
supervised_cloning: setup ## the same, but from the demonstrator's states alone
	@$(TRAIN)
reinforcement_ppo: setup ## the same by policy gradient (PPO) instead of the values of actions
	@$(TRAIN)
shallow: setup ## what came before deep learning, on the labels that `make supervised` gathered
	@$(BREAKOUT) shallow --seeds $(SEEDS) $(FLAGS)

evaluate: setup ## judge what has been trained, and the random policy and the demonstrator
	@$(BREAKOUT) judge --seeds $(SEEDS) $(FLAGS)
replay: setup ## film what has been trained
	@$(BREAKOUT) film --seeds $(SEEDS) $(FLAGS)
report: setup ## write the report from what is there
	@$(BREAKOUT) report '$(RUNS)/$(PROFILE)'
watch: report ## show where to open the report
	@$(PYTHON) -c 'import pathlib, sys, webbrowser; webbrowser.open(pathlib.Path(sys.argv[1]).resolve().as_uri())' '$(RUNS)/$(PROFILE)/report/index.html' || true

results: setup ## keep the numbers of PROFILE in results/, and their table
	@cd '$(RUNS)/$(PROFILE)' && find . -path './*/seed_*' -type f \( -name '*.json' -o -name metrics.csv \) ! -name replay.json | \
	  while read -r file; do mkdir -p "$(CURDIR)/results/$(PROFILE)/$$(dirname "$$file")"; cp "$$file" "$(CURDIR)/results/$(PROFILE)/$$file"; done
	@$(BREAKOUT) report results/$(PROFILE) --table results/$(PROFILE).md

record: setup ## play with the keyboard as NAME, and keep every key as a label
	@$(BREAKOUT) record --name '$(NAME)' --profile '$(PROFILE)' --runs '$(RUNS)'

test: setup ## run the tests, two at a time
	@OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2 --dist worksteal
check: setup ## format, lint, types, arrows between packages, unused and undeclared things
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@$(VENV)/bin/deptry .
	@$(VENV)/bin/vulture
curve: setup ## score against the number of labels: plain cloning and DAgger (three hours of CPU for three seeds)
	@$(BREAKOUT) curve --seeds $(SEEDS) $(FLAGS)
race: setup ## how long our reinforcement and stable-baselines3's PPO take to 15 points (half an hour to two hours)
	@$(BREAKOUT) race --seeds $(SEEDS) $(FLAGS)
bench: setup ## measure this machine: the game, the encoder, our PPO beside stock
	@$(BREAKOUT) bench

clean: ## remove runs of PROFILE (asks first)
	@printf 'Delete $(RUNS)/$(PROFILE) with everything trained there? [y/N] '; read answer; [ "$$answer" = y ] && rm -rf '$(RUNS)/$(PROFILE)' || echo kept
