# Two commands run everything: `make serve` and `make test`. Both install what
# they need on Debian or Ubuntu with cargo, and share one build of RocksDB.

export CARGO_TARGET_DIR ?= $(HOME)/.cache/cachalot/target

ARGS ?=
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

BUILD_PACKAGES := build-essential libclang-dev
# What the tests drive or break things with; the client roots are made by
# debootstrap on first use.
TEST_PACKAGES := $(BUILD_PACKAGES) ca-certificates curl debootstrap python3 python3-venv strace xz-utils

.PHONY: serve test ci fmt clippy deny bench fuzz build-packages test-packages

# What every command builds. Cargo unifies features over the packages and kinds of
# targets that it is asked for, so another selection would be another build of
# RocksDB; the examples bring in the features that the tests use.
BUILD := cargo build --release --workspace --bins --examples

# ARGS='--listen 0.0.0.0:3142 --open' and the like.
serve: build-packages
	$(BUILD)
	exec $(CARGO_TARGET_DIR)/release/cache-server $(ARGS)

test: test-packages
	cargo test --release --workspace --no-fail-fast $(ARGS)

# Side by side with peers, as ratios; see benches/README.md.
bench: test-packages
	$(SUDO) benches/install-peers
	$(BUILD)
	exec $(CARGO_TARGET_DIR)/release/cache-benches $(ARGS)

# Every target for ten minutes, or as TARGETS="routes config" SECONDS=60 say; needs a
# nightly compiler. What is found goes below the target folder. See tests/fuzz/README.md.
TARGETS ?= $(notdir $(basename $(wildcard tests/fuzz/fuzz_targets/*.rs)))
SECONDS ?= 600
FUZZ := cargo +nightly fuzz

fuzz: build-packages
	command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	$(FUZZ) build --fuzz-dir tests/fuzz --sanitizer none --release --debug-assertions
	for target in $(TARGETS); do \
		found=$(CARGO_TARGET_DIR)/fuzz-corpus/$$target; mkdir -p $$found; \
		$(FUZZ) run --fuzz-dir tests/fuzz --sanitizer none --release --debug-assertions $$target \
			$$found tests/fuzz/corpus/$$target -- \
			-max_total_time=$(SECONDS) -rss_limit_mb=2048 -timeout=10 || exit; \
	done

ci: fmt clippy deny test

fmt:
	cargo fmt --all --check

clippy: build-packages
	cargo clippy --release --workspace --all-targets -- -D warnings

deny:
	command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo fetch --locked --quiet
	cargo deny --offline check licenses bans sources

build-packages:
	@$(call install,$(BUILD_PACKAGES))

test-packages:
	@$(call install,$(TEST_PACKAGES))

# Installs only what is missing, so that a second run needs neither root nor network.
define install
missing=; for package in $(1); do \
	dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q '^install ok installed' \
	|| missing="$$missing $$package"; done; \
if [ -n "$$missing" ]; then $(SUDO) apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing; fi
endef
