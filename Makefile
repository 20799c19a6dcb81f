# make book | render | record | test | cluster-demo | clean. Everything happens in .venv (.venv-render for 'render' alone); nothing else is touched.
PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin

.PHONY: book render record test cluster-demo clean

book: $(VENV)/ready
	$(BIN)/python book/build.py book

record: $(VENV)/ready
	$(BIN)/python book/build.py record

render: $(if $(wildcard $(VENV)/ready),$(VENV)/ready,.venv-render/ready)
	$(if $(wildcard $(VENV)/ready),$(BIN),.venv-render/bin)/python book/build.py render

test: $(VENV)/ready
	$(BIN)/python -m pytest -n auto --dist loadfile

cluster-demo: $(VENV)/ready
	$(BIN)/python benchmarks/cluster_demo.py

$(VENV)/ready: pyproject.toml book/requirements-render.txt book/requirements-execute.txt tests/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit("fucore needs Python 3.11 or newer, but $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --progress-bar on --disable-pip-version-check $(PIP_ARGS) -e '.[book,test]'
	@touch $@

.venv-render/ready: book/requirements-render.txt
	$(PYTHON) -m venv .venv-render
	.venv-render/bin/python -m pip install --progress-bar on --disable-pip-version-check $(PIP_ARGS) -r book/requirements-render.txt
	@touch $@

clean:
	rm -rf _build $(VENV) .venv-render
