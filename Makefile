# Everything one does with this project, a target each; `make` lists them.
#
# `make run` and `make test` need nothing but Rust and make: they install what
# else is missing. What is not checked in lives under target/ and var/.
# All builds use the release profile, so that the C libraries and the gateway are
# compiled once for the checks, the demonstration and the tests.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:
# A shell that was open while Rust was installed does not know its folder yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

BUF := var/tools/node_modules/.bin/buf
BASELINE := proto/baseline.binpb
say = @printf '\n== %s\n'

.PHONY: help setup setup-run setup-test setup-lint run demo serve-dev build test test-interop test-long \
        lint lint-shell lint-proto lint-deny lint-rust bench fmt proto-baseline clean-dev

help: ## list the targets
	@printf 'make TARGET, where TARGET is one of\n\n'
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## /{printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## set up, start the gateway, show it at work, keep serving until Ctrl-C
	@config/dev/demo.sh --serve

demo: build ## the same, but stop afterwards; exit 0 only if every step did what it says
	@config/dev/demo.sh

serve-dev: build ## set up and start only the gateway, in the foreground
	$(say) 'The gateway on 127.0.0.1:7443, until Ctrl-C; for a client: . var/dev/env'
	@config/dev/credentials.sh
	@. var/dev/env && exec skms serve --config config/dev.toml

test: setup-test ## set up and run all tests
	$(say) 'Tests'
	cargo test --release --workspace -- --show-output
	@$(MAKE) test-interop

test-interop: setup-test build ## clients in five languages that know only proto/, and what README.md says to type
	$(say) 'Interoperation'
	@softhsm-tests/interop/run.sh
	@softhsm-tests/readme.sh

test-long: setup-test ## the long forms of the tests; takes its time
	$(say) 'Tests, long forms'
	SKMS_TEST_LONG=1 cargo test --release --workspace

bench: setup-test ## measure: bare SoftHSM2 and swtpm, a bare RPC, SignMessage, what each guard costs it
	$(say) 'Benchmarks'
	cargo bench --package skms-tests

lint: lint-shell lint-proto lint-deny lint-rust ## scripts, protocol, licences, formatting, clippy, docs

lint-rust: setup-lint
	$(say) 'Rust: formatting, clippy, documentation'
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings
	cargo clippy --release --package skms --lib --no-default-features --features client -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --release --workspace --no-deps --document-private-items

lint-shell: setup-lint
	$(say) 'Shell scripts'
	shellcheck .ci/run config/dev/*.sh softhsm-tests/*.sh softhsm-tests/interop/*.sh softhsm-tests/tests/suite/*/*.sh

lint-proto: setup-lint
	$(say) 'Protocol: style, and compatibility with $(BASELINE)'
	$(BUF) lint proto
	$(BUF) breaking proto --against $(BASELINE)

lint-deny: setup-lint
	$(say) 'Dependencies: licences, bans, sources, advisories'
	cargo deny --workspace check licenses bans sources
	@if timeout 120 cargo deny --workspace fetch db >/dev/null 2>&1; then \
		echo cargo deny --workspace check advisories; \
		cargo deny --workspace check advisories; \
	else \
		echo 'advisories NOT checked: their database (github.com/RustSec/advisory-db) cannot be fetched from here'; \
	fi

fmt: setup-lint ## format the Rust sources
	cargo fmt --all

proto-baseline: setup-lint ## make the protocol as it is now the one that later changes must be compatible with
	$(BUF) build proto --exclude-source-info --output $(BASELINE)

setup: setup-run setup-test setup-lint ## everything that the other targets would install

setup-run: ## what run, demo and serve-dev need: a C compiler, the TPM stack, SoftHSM2, a token under var/dev
	@config/dev/tools.sh run
	@config/dev/setup.sh

setup-test: setup-run ## what test and bench need besides: OpenSC, swtpm, tpm2-tools, promtool, Python, Node.js, Go, Java, C++
	@config/dev/tools.sh test

setup-lint: ## what lint needs: clippy, rustfmt, buf, cargo-deny
	@config/dev/tools.sh run lint

clean-dev: ## remove the development token and all its keys (var/dev, var/demo)
	$(say) 'Removing var/dev and var/demo: the development token, its keys and its PINs'
	@if (exec 3<>/dev/tcp/127.0.0.1/7443) 2>/dev/null; then \
		echo 'not now: a gateway still listens on 127.0.0.1:7443, and may be using them; stop it first' >&2; exit 1; \
	fi
	rm -rf var/dev var/demo

build: setup-run
	$(say) 'Building the gateway; the first time takes a few minutes'
	cargo build --release --bin skms
