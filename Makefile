# `make up` and `make test` are all that there is to set up; both install what is missing by scripts/setup.

TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help up test soak bench fmt lint
.DEFAULT_GOAL := help

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 16

# The dev profile: the first build takes a fraction of a release build's time, hashing and curves are
# optimised in it too, and trying things out does not need more. `make bench` measures the release.
up: ## Install what is missing, build, and run everything with some demo agents
	@scripts/setup
	@echo "up: building chancery (the first time this takes some minutes)"
	@cargo build --locked -p chancery
	@exec $(TARGET)/debug/chancery up --demo $(ARGS)

test: ## Install what is missing for tests, and run all of them
	@scripts/setup --tests
	@echo "test: contracts"
	@cd contracts && npm test
	@echo "test: Rust (the first time, building takes some minutes)"
	@scripts/test

soak: ## Run 10,000 simulated worlds (SEEDS=500 for fewer)
	@scripts/setup
	@scripts/soak

bench: ## Measure, and write docs/benchmarks.md and docs/benchmarks.json
	@scripts/setup --tests
	@scripts/bench

fmt: ## Format all sources
	@cargo fmt --all

lint: ## Check format, lints and the house's laws
	@cargo fmt --all --check
	@cargo clippy --locked --workspace --all-targets -- -D warnings
	@cargo test --locked -p chancery --test house
