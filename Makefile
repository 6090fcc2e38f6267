# `make` lists what there is. It needs Python 3.11 or newer, make 3.81 or newer and a package index.

.DEFAULT_GOAL := help

# What makes .venv: make lab PYTHON=python3.12
PYTHON ?= python3
# Where to take PyTorch from, instead of where tools/bootstrap.py looks
TORCH_INDEX ?=
# Which lessons to open: mine, which are copies; new, where changed ones are put beside mine; stored
LESSONS ?= mine
# More options for JupyterLab, pytest, benchmarks, grid, uv, servers: make lab LAB_ARGS=--no-browser
LAB_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=
PARITY_ARGS ?=
PINS_ARGS ?=
SCALE_ARGS ?=
SERVE_ARGS ?=
# The notebooks that the lanes, `make notebooks` and `make threads` run
NOTEBOOKS ?= $(sort $(wildcard notebooks/*.ipynb)) $(sort $(wildcard notebooks/solutions/*.ipynb))
LESSON_1 := $(notdir $(firstword $(sort $(wildcard notebooks/[0-9]*.ipynb))))

# The browser of `make test-browser`; recursive, so that nothing looks for it unless it is needed
CHROMIUM ?= $(or $(firstword $(foreach name,chromium chromium-browser google-chrome,\
	$(shell command -v $(name)))),chromium)

VENV_PYTHON := $(if $(filter Windows_NT,$(OS)),.venv/Scripts/python.exe,.venv/bin/python)
SCALE_PYTHON := $(subst .venv/,.venv-scale/,$(VENV_PYTHON))
# Two workers, with one thread each (below); loadscope gives all cells of a notebook to one of them.
NBVAL := --nbval --nbval-current-env --nbval-cell-timeout=600 -n 2 --dist loadscope \
	--nbval-sanitize-with "$(CURDIR)/tests/nbval_sanitize.cfg"
# This line runs on any Python, back to 2.7.
OLD_PYTHON := import sys; sys.exit(sys.version_info < (3, 11) and \
	'Python 3.11 or newer is needed, and $(PYTHON) is ' + sys.version.split()[0] + \
	'. If there is a newer one, name it: make lab PYTHON=python3.12')

.PHONY: help lab quick test test-browser test-oldest test-newest test-serving test-scale colab library-tests notebooks threads docs parity bench bench-llamacpp bench-rivals bench-quantizers bench-exports bench-serving bench-scale lm-eval scale serve serve-vllm lint pins setup model clean

help:  ## list what make can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile

lab: model  ## set up if needed, and open your copies of the lessons in JupyterLab
	@$(VENV_PYTHON) -m tools.lesson_copies $(LESSONS)
	@echo "JupyterLab opens in the browser; without one, go to an address below. Ctrl-C twice stops it."
	@$(VENV_PYTHON) -m jupyterlab --notebook-dir=. --log-level=WARN \
		--LabApp.default_url=/lab/tree/$(if $(filter stored,$(LESSONS)),notebooks,my_lessons)/$(LESSON_1) \
		$(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_ARGS)

# The markers are set in tests/conftest.py.
quick: lint  ## lint, and the tests without model, browser and notebooks: under 90 s
	@OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest -n 2 -m "not needs_model and not slow" $(TEST_ARGS) tests

test: model  ## set up if needed, run all tests, and check every stored output
	@$(if $(strip $(NOTEBOOKS)),,echo "There are no notebooks yet: running the tests alone.")
	@echo "The tests in a real browser are skipped here: \`make test-browser\` runs them, with chromium."
	@OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest $(NBVAL) $(TEST_ARGS) tests $(NOTEBOOKS)

test-browser: model  ## drive the stepper and the stored lessons in chromium
	@command -v "$(CHROMIUM)" >/dev/null || { \
		echo "There is no chromium here: apt-get install chromium, or CHROMIUM=/path/to/chrome"; exit 1; }
	@$(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --requirement tests/browser/requirements.txt
	@LLMCOURSE_BROWSER_TESTS=1 LLMCOURSE_CHROMIUM="$(CHROMIUM)" OMP_NUM_THREADS=1 \
		$(VENV_PYTHON) -m pytest $(TEST_ARGS) tests/browser

test-serving: model  ## start `transformers serve`: stream, compare with generate, load, failures
	@LLMCOURSE_SERVING_TESTS=1 OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest $(TEST_ARGS) \
		tests/serving tests/benchmarks/test_serving.py

test-oldest: model  ## run tests and lessons on the oldest packages that are admitted
	@OMP_NUM_THREADS=1 $(VENV_PYTHON) -m tools.other_versions oldest $(NBVAL) $(TEST_ARGS) $(NOTEBOOKS)

test-newest: model  ## the same on the newest
	@OMP_NUM_THREADS=1 $(VENV_PYTHON) -m tools.other_versions newest $(NBVAL) $(TEST_ARGS) $(NOTEBOOKS)

library-tests: setup  ## transformers' own generation tests through the loop: TRANSFORMERS=<a checkout>
	@test -n "$(TRANSFORMERS)" || { echo "Name a checkout of transformers: make library-tests TRANSFORMERS=../transformers"; exit 1; }
	@$(VENV_PYTHON) -m tools.library_tests "$(TRANSFORMERS)" $(LIBRARY_ARGS)

colab: model  ## run the lessons as in Colab: its packages, and what is committed, from a clone
	@OMP_NUM_THREADS=1 $(VENV_PYTHON) -m tools.colab $(NBVAL) $(TEST_ARGS) $(NOTEBOOKS)

notebooks: model  ## run the lessons, store their outputs and the repository's address
	@OMP_NUM_THREADS=1 $(VENV_PYTHON) -m tools.run_notebooks $(NOTEBOOKS)

docs: setup  ## write the pages that are made from code
	@$(VENV_PYTHON) -m tools.architecture
	@$(VENV_PYTHON) -m tools.pitfalls_page
	@$(VENV_PYTHON) -m tools.surface_page
	@$(VENV_PYTHON) -m tools.versions_page
	@$(VENV_PYTHON) -m tools.recorded_runs
	@$(VENV_PYTHON) -m tools.teaching_page

threads: model  ## check that outputs do not depend on threads or vector instructions
	@$(VENV_PYTHON) -m tools.threads $(NBVAL) $(NOTEBOOKS)

parity: setup  ## compare the loop with generate in thousands of drawn calls
	@OMP_NUM_THREADS=1 $(VENV_PYTHON) -m tools.parity $(PARITY_ARGS)

# BENCH_ARGS=--quick runs the toy model, and three rungs that nothing compiles, in about a minute.
bench: model  ## measure the loop beside generate, then climb the ladder: a quarter of an hour
	@$(VENV_PYTHON) -m benchmarks.loop $(if $(filter --quick,$(BENCH_ARGS)),--quick --only toy)
	@$(VENV_PYTHON) -m benchmarks.ladder $(BENCH_ARGS)

bench-llamacpp: model  ## the ladder beside llama.cpp, which it compiles first, for several minutes
	@$(VENV_PYTHON) -m benchmarks.ladder --beside llamacpp $(BENCH_ARGS)

bench-rivals: model  ## the same beside OpenVINO GenAI and ONNX Runtime too
	@$(VENV_PYTHON) -m benchmarks.ladder --beside llamacpp openvino onnx $(BENCH_ARGS)

# BENCH_ARGS=--all also tries to install what is known to want another torch.
bench-quantizers: model  ## the libraries that quantize: bytes, divergence, speed; some minutes
	@$(VENV_PYTHON) -m benchmarks.quantizers $(BENCH_ARGS)

bench-exports: model  ## what optimum exports to OpenVINO and ONNX Runtime, beside torch; some minutes
	@$(VENV_PYTHON) -m benchmarks.exports $(BENCH_ARGS)

bench-scale: model  ## several processes beside one: accelerate, tensor parallel, Ray Data; 20 minutes
	@$(VENV_PYTHON) -m benchmarks.scaling $(BENCH_ARGS)

# SCALE_ARGS="--address auto --workers 16" runs it on a cluster of Ray.
scale: model  ## answer a file by Ray Data: make scale PROMPTS=prompts.jsonl ANSWERS=answers.jsonl
	@test -n "$(PROMPTS)" -a -n "$(ANSWERS)" || { \
		echo "Name two files: make scale PROMPTS=prompts.jsonl ANSWERS=answers.jsonl"; exit 1; }
	@$(VENV_PYTHON) -m benchmarks.scaling --setup
	@$(SCALE_PYTHON) -m benchmarks.scale.ray_batch "$(PROMPTS)" "$(ANSWERS)" $(SCALE_ARGS)

test-scale: model  ## the tests of several processes, with Ray's: a worker is killed
	@$(VENV_PYTHON) -m benchmarks.scaling --setup
	@OMP_NUM_THREADS=1 $(SCALE_PYTHON) -m pytest $(TEST_ARGS) \
		tests/benchmarks/test_scaling.py tests/benchmarks/test_scale_scripts.py

# BENCH_ARGS=--quick sends a few requests; BENCH_ARGS="--only transformers" leaves vLLM out.
bench-serving: model  ## servers under load, and what they do wrong: a quarter of an hour, 3.5 GB once
	@$(VENV_PYTHON) -m benchmarks.serving $(BENCH_ARGS)

serve: model  ## serve the course's model on port 8000, by `transformers serve`
	@$(VENV_PYTHON) -m benchmarks.serve transformers $(SERVE_ARGS)

serve-vllm: model  ## the same by vLLM, which is installed once into .venv-vllm: 3.5 GB
	@$(VENV_PYTHON) -m benchmarks.serve vllm $(SERVE_ARGS)

lm-eval: model  ## score the items beside EleutherAI's lm-evaluation-harness: some minutes
	@$(VENV_PYTHON) -m benchmarks.lm_eval_items $(BENCH_ARGS)

lint: setup  ## check style, format, and what imports what; notebooks included
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check .
	@$(dir $(VENV_PYTHON))lint-imports --no-cache >/dev/null || $(dir $(VENV_PYTHON))lint-imports --no-cache

pins: setup  ## make constraints.txt again; PINS_ARGS=--upgrade takes newer versions
	@$(VENV_PYTHON) -m tools.pins $(PINS_ARGS)

setup:  ## make .venv, or bring it up to date
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "Python 3.11 or newer is needed, and there is no $(PYTHON) here. Where it has"; \
		echo "another name, give that: make lab PYTHON=python3.12"; exit 1; }
	@"$(PYTHON)" -c "$(OLD_PYTHON)"
	@"$(PYTHON)" tools/bootstrap.py --torch-index="$(TORCH_INDEX)" \
		$(if $(filter file,$(origin PYTHON)),,--rebuild-for-this-python)

model: setup  ## fetch the model of the lessons, about 100 MB, if it is not there
	@$(VENV_PYTHON) -m llmcourse fetch

clean:  ## remove .venv and all caches in this folder; the model stays
	rm -rf .venv .venv-oldest .venv-newest .venv-colab .venv-library .venv-rivals .venv-quantizers \
		.venv-scale .venv-vllm .venv-lm-eval .venv.lock .pytest_cache .ruff_cache .hypothesis build dist \
		*.egg-info tests/browser/.failures
	find llmcourse tests tools benchmarks notebooks -type d \
		\( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

# make -s print-NBVAL shows one of the settings above.
print-%:
	@echo '$($*)'
