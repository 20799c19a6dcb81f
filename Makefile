# make book | book CHAPTER=06 | render | record | check | verify [REFERENCE=cifar10-iid DATA=npz:/path] | test | test-slow | cluster-demo | clean
# Everything happens in .venv (.venv-render for 'render' alone); nothing else is touched.
PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
comma := ,
# with uv where there is one: seconds instead of a minute; with pip otherwise, where uv cannot, and with options that are pip's
UV := $(if $(PIP_ARGS),,$(shell command -v uv))
pip = $(1)/bin/python -m pip install --progress-bar on --disable-pip-version-check $(PIP_ARGS) $(2)
install = $(if $(UV),$(UV) pip install --quiet --python $(1)/bin/python $(2) || $(call pip,$(1),$(2)),$(call pip,$(1),$(2)))

.PHONY: book render record check verify test test-slow cluster-demo clean

book: $(VENV)/ready
	@$(BIN)/python book/build.py book $(if $(CHAPTER),--chapter $(CHAPTER))

record: $(VENV)/ready
	@$(BIN)/python book/build.py record

render: $(if $(wildcard $(VENV)/ready),$(VENV)/ready,.venv-render/ready)
	@$(if $(wildcard $(VENV)/ready),$(BIN),.venv-render/bin)/python book/build.py render

check: $(VENV)/ready
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow and not long" --durations=10

test: $(VENV)/ready
	-@$(BIN)/python book/build.py execute
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow" --durations=10

verify: $(VENV)/ready
	$(BIN)/python book/results/references.py verify $(or $(REFERENCE),mnist5k) $(if $(DATA),--data $(DATA))

test-slow: $(VENV)/ready
	$(BIN)/python -m pytest -m slow --durations=10

cluster-demo: $(VENV)/ready
	$(BIN)/python benchmarks/cluster_demo.py

$(VENV)/ready: pyproject.toml book/requirements-render.txt book/requirements-execute.txt tests/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit("fucore needs Python 3.11 or newer, but $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(call install,$(VENV),-e '.[book$(comma)test]')
	@touch $@

.venv-render/ready: book/requirements-render.txt
	$(PYTHON) -m venv .venv-render
	$(call install,.venv-render,-r book/requirements-render.txt)
	@touch $@

clean:
	rm -rf _build $(VENV) .venv-render
