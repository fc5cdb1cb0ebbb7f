# resnet-edge: photos to proven files on edge devices. `make help` lists what there is.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# What `make export` and the stages below are told. Empty means the command's own default.
DATA ?=
WEIGHTS ?=
OUT ?= build
IMAGE_SIZE ?=
FORMATS ?=
EPOCHS ?=
CALIBRATION ?=
QUANTIZATION ?=
CONFIG ?=

option = $(if $(strip $(2)),--$(1) "$(strip $(2))")
COMMAND := $(BIN)/resnet-edge $(call option,config,$(CONFIG))
INTO := --out "$(OUT)"
TRAINING = $(call option,data,$(DATA)) $(call option,weights,$(WEIGHTS)) \
	$(call option,image-size,$(IMAGE_SIZE)) $(call option,epochs,$(EPOCHS)) \
	$(call option,calibration,$(CALIBRATION))
QUANTIZING = $(call option,quantization,$(QUANTIZATION))
# The embedded default is there to be seen quickly: shorter latency runs than one would publish.
LATENCY = $(if $(strip $(DATA)$(CONFIG)),,--min-seconds 1)
TFLITE := fp32.tflite,fp16.tflite,dynamic.tflite,int8.tflite,int8_full.tflite
ONNX := fp32.onnx,fp16.onnx,int8.onnx

.DEFAULT_GOAL := help
.PHONY: help export finetune saved_model tflite onnx parity bench recommend report bundle \
	install bench-peers docs check format test test-all test-arm64 test-gpu lock wheel clean

help: ## List the targets
	@grep -hE '^[a-z0-9_-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'
	@echo
	@echo '  Variables: DATA WEIGHTS OUT IMAGE_SIZE FORMATS EPOCHS CALIBRATION QUANTIZATION CONFIG'
	@echo '  Example:   make export DATA=photos WEIGHTS=imagenet OUT=build'

export: $(READY) ## Photos to proven files: all steps (embedded digits without DATA)
	@$(COMMAND) run $(INTO) $(TRAINING) $(call option,formats,$(FORMATS)) $(QUANTIZING) $(LATENCY)

finetune: $(READY) ## Train: OUT/model.keras
	@$(COMMAND) finetune $(INTO) $(TRAINING)

saved_model: $(READY) ## Export OUT/artifacts/saved_model
	@$(COMMAND) export $(INTO) --formats saved_model

tflite: $(READY) ## Export the .tflite files
	@$(COMMAND) export $(INTO) $(call option,calibration,$(CALIBRATION)) $(QUANTIZING) \
		--formats $(TFLITE)

onnx: $(READY) ## Export the .onnx files
	@$(COMMAND) export $(INTO) $(call option,calibration,$(CALIBRATION)) $(QUANTIZING) \
		--formats $(ONNX)

parity: $(READY) ## Reference answers, then every artifact against them
	@$(COMMAND) reference $(INTO)
	@$(COMMAND) parity $(INTO)

bench: $(READY) ## Latency of every artifact on this machine
	@$(COMMAND) bench $(INTO)

recommend: $(READY) ## Which file to take on this machine, and why
	@$(COMMAND) recommend $(INTO)

report: $(READY) ## OUT/report.html, report.md, report.json
	@$(COMMAND) report $(INTO)

bundle: $(READY) ## OUT/resnet-edge-device.pyz: artifacts, runner and test pictures for a device
	@$(COMMAND) bundle $(INTO) $(call option,formats,$(FORMATS))

install: $(READY) ## Make .venv with the locked packages

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; (3, 11) <= v < (3, 14) or sys.exit(f"error: Python {v.major}.{v.minor} found; 3.11 to 3.13 is needed; run make PYTHON=python3.11")'
	@echo 'installing the locked packages into $(VENV) (about 3 GB; a minute or two)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

bench-peers: .venv-peers/.ready ## Make .venv-peers: NNCF and OpenVINO, for benchmarks/quantization.py

.venv-peers/.ready: requirements-peers.lock
	@$(PYTHON) -m venv --clear .venv-peers
	@.venv-peers/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes -r $<
	@touch $@

docs: .venv-docs/.ready ## Build the documentation: site/index.html; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build

.venv-docs/.ready: requirements-docs.lock
	@$(PYTHON) -m venv --clear .venv-docs
	@.venv-docs/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes -r $<
	@touch $@

check: $(READY) ## Format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY) ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: check ## Checks and tests: offline, no GPU, under 15 minutes on 2 cores
	$(BIN)/pytest -n 2 --dist loadfile

test-all: check ## All tests, also the slow ones at real size and in real runtimes
	$(BIN)/pytest -m ''

test-gpu: $(READY) ## Tests that need an NVIDIA GPU, on every Keras backend in .venv
	$(BIN)/pytest -m gpu

test-arm64: $(READY) ## The bundle in every runtime on an emulated Arm processor (needs x86, apt, network)
	RESNET_EDGE_REQUIRE_ARM64=1 $(BIN)/pytest -m '' tests/resnet_edge/ondevice/command/test_arm64.py

lock: $(READY) ## Pin all packages anew in the requirements*.lock files
	$(BIN)/python -m pip install --disable-pip-version-check --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
		--output-file requirements.lock
	$(BIN)/uv pip compile --group tflite-runtime --python-version 3.11 \
		--generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
		--output-file requirements-tflite-runtime.lock
	for extra in peers docs; do \
		$(BIN)/python -c 'import sys, tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; print(*project["optional-dependencies"][sys.argv[1]], sep="\n")' $$extra \
		| $(BIN)/uv pip compile - --universal --python-version 3.11 \
		--generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
		--output-file requirements-$$extra.lock || exit 1; \
	done

wheel: $(READY) ## Build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

clean: ## Remove what was built, .venv included
	rm -rf "$(OUT)" dist site $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
