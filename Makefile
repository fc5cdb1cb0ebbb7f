# resnet-edge: photos to proven files on edge devices. `make help` lists what there is.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
TOOLS  := $(VENV)/.tools
# The page of `resnet-edge browser`: its tools, and the runtimes that it loads.
NODE_MODULES := web/node_modules/.ready
BROWSER := resnet_edge/devices/browser/distribution
RUNTIMES := $(BROWSER)/resnet_edge_browser/files.json
# Bytecode is written when a module is first imported, not for all ten thousand files at once. Without
# it each process that loads TensorFlow takes 6 s longer, so it is written in any case.
unexport PYTHONDONTWRITEBYTECODE
PIP    := $(BIN)/python -m pip install --disable-pip-version-check --quiet --no-compile
LOCK   := $(BIN)/uv pip compile --python-version 3.11 \
	--generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links

# What `make export` and the stages below are told. Empty means the command's own default.
DATA ?=
WEIGHTS ?=
OUT ?= build
IMAGE_SIZE ?=
FORMATS ?=
EPOCHS ?=
CALIBRATION ?=
QUANTIZATION ?=
MAX_P90_MS ?=
MAX_BYTES ?=
MAX_LOSS ?=
CONFIG ?=
SECONDS ?= 60

option = $(if $(strip $(2)),--$(1) "$(strip $(2))")
COMMAND := $(BIN)/resnet-edge $(call option,config,$(CONFIG))
INTO := --out "$(OUT)"
TRAINING = $(call option,data,$(DATA)) $(call option,weights,$(WEIGHTS)) \
	$(call option,image-size,$(IMAGE_SIZE)) $(call option,epochs,$(EPOCHS)) \
	$(call option,calibration,$(CALIBRATION))
QUANTIZING = $(call option,quantization,$(QUANTIZATION))
# The embedded default is there to be seen quickly: shorter latency runs than one would publish.
LATENCY = $(if $(strip $(DATA)$(CONFIG)),,--min-seconds 0.5)

.DEFAULT_GOAL := help
.PHONY: help export finetune saved_model tflite onnx parity bench recommend compress report \
	bundle browser web install bench-peers docs check check-page format test test-all fuzz test-arm64 \
	test-browser test-gpu test-ray lock wheel clean

help: ## List the targets
	@grep -hE '^[a-z0-9_-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'
	@echo
	@echo '  Variables: DATA WEIGHTS OUT IMAGE_SIZE FORMATS EPOCHS CALIBRATION QUANTIZATION CONFIG'
	@echo '             MAX_P90_MS MAX_BYTES MAX_LOSS'
	@echo '  FORMATS:   fp32.tflite,int8.onnx,...; tflite or onnx; all adds int16x8.tflite'
	@echo '  Example:   make export DATA=photos WEIGHTS=imagenet OUT=build'

export: $(READY) ## Photos to proven files: all steps (embedded digits without DATA)
	@$(COMMAND) run $(INTO) $(TRAINING) $(call option,formats,$(FORMATS)) $(QUANTIZING) $(LATENCY)

finetune: $(READY) ## Train: OUT/model.keras
	@$(COMMAND) finetune $(INTO) $(TRAINING)

saved_model: $(READY) ## Export OUT/artifacts/saved_model
	@$(COMMAND) export $(INTO) --formats saved_model

tflite: $(READY) ## Export the .tflite files
	@$(COMMAND) export $(INTO) $(call option,calibration,$(CALIBRATION)) $(QUANTIZING) --formats tflite

onnx: $(READY) ## Export the .onnx files
	@$(COMMAND) export $(INTO) $(call option,calibration,$(CALIBRATION)) $(QUANTIZING) --formats onnx

parity: $(READY) ## Reference answers, then every artifact against them
	@$(COMMAND) reference $(INTO)
	@$(COMMAND) parity $(INTO)

bench: $(READY) ## Latency of every artifact on this machine
	@$(COMMAND) bench $(INTO)

recommend: $(READY) ## Which file to take on this machine, and why
	@$(COMMAND) recommend $(INTO)

compress: $(READY) ## The network that fits MAX_P90_MS, MAX_BYTES or MAX_LOSS: OUT/compressed
	@$(COMMAND) compress $(INTO) $(call option,max-p90-ms,$(MAX_P90_MS)) \
		$(call option,max-bytes,$(MAX_BYTES)) $(call option,max-loss,$(MAX_LOSS)) \
		$(call option,calibration,$(CALIBRATION)) $(call option,formats,$(FORMATS)) $(QUANTIZING)

report: $(READY) ## OUT/report.html, report.md, report.json
	@$(COMMAND) report $(INTO)

bundle: $(READY) ## OUT/resnet-edge-device.pyz: artifacts, runner and test pictures for a device
	@$(COMMAND) bundle $(INTO) $(call option,formats,$(FORMATS))

browser: $(READY) $(RUNTIMES) ## Let a browser be the device: a page that measures, and OUT/results/device-*.json
	@$(COMMAND) browser $(INTO) $(call option,formats,$(FORMATS))

web: $(RUNTIMES) ## Get the runtimes that `resnet-edge browser` serves (needs npm)

$(RUNTIMES): $(NODE_MODULES) web/copy_runtime_files.py
	@$(PYTHON) web/copy_runtime_files.py

$(NODE_MODULES): web/package.json web/package-lock.json
	@command -v npm >/dev/null || { echo 'error: npm is not here; expected Node.js 20 or newer; install it, or take the runtimes from the wheel resnet-edge-browser' >&2; exit 1; }
	@npm ci --prefix web --loglevel error
	@touch $@

install: $(TOOLS) ## Make .venv with the locked packages, those of the tests as well

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; (3, 11) <= v < (3, 14) or sys.exit(f"error: Python {v.major}.{v.minor} found; 3.11 to 3.13 is needed; run make PYTHON=python3.11")'
	@echo 'installing the locked packages into $(VENV) (about 2.5 GB; about a minute, once); the steps'
	@echo 'after it say how long they take: with the embedded digits about 3 minutes on two fast cores'
	@$(PYTHON) -m venv $(VENV)
	@# The pip that Python brings may be years old, and takes twice as long; it does as well.
	@$(PIP) --require-hashes -r requirements-pip.lock || echo 'pip stays as it is'
	@$(PIP) --require-hashes -r requirements.lock
	@# setuptools warns of what an editable installation is.
	@PYTHONWARNINGS=ignore $(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(TOOLS): $(READY) requirements-dev.lock
	@$(PIP) --require-hashes -r requirements-dev.lock
	@# Now, because the tests turn a warning of a first compilation into an error.
	@$(BIN)/python -W ignore -m compileall -qq -j 0 $(VENV)/lib || true
	@touch $@

bench-peers: .venv-peers/.ready ## Make .venv-peers: NNCF and OpenVINO, for benchmarks/quantization.py

.venv-peers/.ready: requirements-peers.lock
	@$(PYTHON) -m venv --clear .venv-peers
	@.venv-peers/bin/python -m pip install --disable-pip-version-check --quiet --no-compile \
		--require-hashes -r $<
	@touch $@

docs: .venv-docs/.ready ## Build the documentation: site/index.html; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build

.venv-docs/.ready: requirements-docs.lock
	@$(PYTHON) -m venv --clear .venv-docs
	@.venv-docs/bin/python -m pip install --disable-pip-version-check --quiet --no-compile \
		--require-hashes -r $<
	@touch $@

check: $(TOOLS) check-page ## Format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check-page: ## Lint, types and tests of the page of `resnet-edge browser`; skipped without Node.js
	@if ! command -v npm >/dev/null; then \
		echo 'the page of resnet-edge browser was NOT checked: there is no Node.js here'; \
	elif ! $(MAKE) --no-print-directory $(NODE_MODULES); then \
		echo 'the page of resnet-edge browser was NOT checked: npm could not get the tools (see above)'; \
	else npm run --prefix web --silent check; fi

format: $(TOOLS) ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: check ## Checks and tests: offline, no GPU, about 13 minutes on 2 cores
	$(BIN)/pytest -n 2 --dist loadfile

test-all: check ## All tests, also the slow ones at real size and in real runtimes
	$(BIN)/pytest -m ''

fuzz: $(TOOLS) ## Damage files of every kind that is read, for SECONDS, and count the faults
	$(BIN)/python tests/fuzz/fuzz_run.py --seconds $(SECONDS)

test-browser: $(TOOLS) ## The page in real browsers: Chromium, Firefox, WebKitGTK, as far as they are here
	$(BIN)/pytest -m browser tests/resnet_edge/devices/browser

test-gpu: $(TOOLS) ## Tests that need an NVIDIA GPU, on every Keras backend in .venv
	$(BIN)/pytest -m gpu

test-ray: $(VENV)/.ray ## Stages on two nodes of Ray, with nodes that are killed; installs the extra "ray"
	$(BIN)/pytest -m ray

$(VENV)/.ray: $(TOOLS) requirements-ray.lock
	@$(PIP) --require-hashes -r requirements-ray.lock
	@touch $@

test-arm64: $(TOOLS) ## The bundle in every runtime on an emulated Arm processor (needs x86, apt, network)
	RESNET_EDGE_REQUIRE_ARM64=1 $(BIN)/pytest -m '' tests/resnet_edge/ondevice/command/test_arm64.py

lock: $(READY) ## Pin all packages anew in the requirements*.lock files
	$(PIP) uv
	echo pip | $(LOCK) --universal - --output-file requirements-pip.lock
	$(LOCK) --universal pyproject.toml --output-file requirements.lock
	$(LOCK) --group tflite-runtime --output-file requirements-tflite-runtime.lock
	for extra in dev ray peers docs; do \
		$(BIN)/python -c 'import sys, tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; print(*project["optional-dependencies"][sys.argv[1]], sep="\n")' $$extra \
		| $(LOCK) --universal - --output-file requirements-$$extra.lock \
		$$(case $$extra in dev|ray) echo --constraints requirements.lock;; esac) || exit 1; \
	done

wheel: $(TOOLS) ## Build the wheel into dist/, after `make web` that of the browsers' runtimes too
	$(BIN)/python -m build --wheel --no-isolation
	@if [ -f $(RUNTIMES) ]; then $(BIN)/python -m build --wheel --no-isolation --outdir dist $(BROWSER) \
		&& rm -rf $(BROWSER)/build $(BROWSER)/*.egg-info; \
	else echo 'no wheel of resnet-edge-browser: run make web first'; fi

clean: ## Remove what was built, .venv included
	rm -rf "$(OUT)" dist site $(VENV) web/node_modules *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
