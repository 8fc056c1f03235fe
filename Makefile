# The commands of this repository. A fresh machine needs python3 (3.11 or newer) and make for them, nothing else:
# each target makes what it needs in .venv, once, and again only when pyproject.toml has changed.

PORT ?= 8000
STACK_PORT ?= 8080
DOCS_PORT ?= 8001
PYTHON ?=
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
MANAGE := $(BIN)/python example_project/manage.py
DEMO_DATA := .demo
URL = http://127.0.0.1:$(PORT)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The example site is configured by its environment. What happens to be set in this shell, for another site perhaps,
# must not lead the demo to that site's database, or its mail server.
SITE := env -u DATABASE_URL -u DATABASE_POOL -u DATABASE_POOLER -u DATABASE_SECONDS -u REDIS_URL -u BROKER_URL -u BEAT_SECONDS -u SECRET_KEY \
	-u DEBUG -u ALLOWED_HOSTS -u CSRF_TRUSTED_ORIGINS -u HTTPS -u LOG_FORMAT -u LOG_LEVEL \
	-u PROXIES -u STATIC_ROOT -u METRICS_TOKEN -u TIME_ZONE -u WEB_CONCURRENCY -u PYTHONPATH -u PYTHONHOME \
	-u SITE_URL -u EMAIL_HOST -u EMAIL_PORT -u EMAIL_HOST_USER -u EMAIL_HOST_PASSWORD -u EMAIL_USE_TLS -u EMAIL_USE_SSL \
	-u DEFAULT_FROM_EMAIL \
	PYTHONUTF8=1 DJANGO_SETTINGS_MODULE=config.settings PM_DATA_DIR="$(CURDIR)/$(DEMO_DATA)"
DEMO := $(SITE) PM_DEMO=1 SITE_URL=$(URL)
# HTTP and WebSockets from one process. At Ctrl-C open sockets are waited for no longer than this.
SERVER := $(BIN)/python -m uvicorn --app-dir example_project --timeout-graceful-shutdown 1 --log-level warning \
	config.asgi:application
# Beside it: reminders, mail and all else that is to be done again and again.
BOTH := $(BIN)/python scripts/run_both.py

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo demo-reset stack test browser fuzz faults composed openapi messages reference docs docs-serve evidence lint audit release-check clean \
	port-is-free demo-data-gone

help:
	@echo "make demo         a site with sample data on $(URL) (PORT=8080 for another port)"
	@echo "make demo-reset   the same, with the sample data fresh; what was changed in the demo is gone"
	@echo "make stack        the services of docker-compose.yml on http://127.0.0.1:$(STACK_PORT), without containers"
	@echo "make test         run the tests (ARGS=\"-k members -x\" goes to pytest)"
	@echo "make browser      the live page and the JavaScript client in Chromium, which has to be installed"
	@echo "make fuzz         1,000 made-up requests and a generated client against the live site (PM_LONG_TESTS=1: 100,000)"
	@echo "make faults       the services of the example site while Redis, RabbitMQ, PostgreSQL and they themselves are taken away"
	@echo "make composed     docker-compose.yml in containers, and the commands of docs/ on them; needs a Docker engine"
	@echo "make openapi      write docs/openapi.json and docs/asyncapi.json anew after a change of the API"
	@echo "make messages     bring the catalogues of translations up to date with the code, and compile them"
	@echo "make reference    write the parts of docs/ that come from the code anew: settings, checks, commands, names"
	@echo "make docs         the documentation as a site, in site/; a broken link is an error"
	@echo "make docs-serve   the same on http://127.0.0.1:$(DOCS_PORT), made anew whenever a page changes"
	@echo "make evidence     capture docs/evidence/ anew from the running services, the demo and the tests"
	@echo "make lint         formatting, types, import rules, missing migrations"
	@echo "make audit        what bandit finds in the code, and the known vulnerabilities of what is installed"
	@echo "make release-check  whether the present version can be released; leaves what would be in release/"
	@echo "make clean        remove the virtual environment, the demo's data and all caches"

# --- the demo ----------------------------------------------------------------------------------------------------

demo: port-is-free $(VENV)/.stamp-demo
	@$(DEMO) $(MANAGE) migrate --verbosity 0
	@$(DEMO) $(MANAGE) demo_seed
	@$(DEMO) $(MANAGE) demo_guide --url $(URL)
	@echo "The site runs until you press Ctrl-C. Its data stays in $(DEMO_DATA)/."
	@echo
	@exec $(DEMO) $(BOTH) $(SERVER) --host 127.0.0.1 --port $(PORT) -- $(MANAGE) pm_run

demo-reset: port-is-free demo-data-gone demo

# After the port: a demo that still runs there must not lose its database underneath.
demo-data-gone:
	@rm -rf $(DEMO_DATA)

port-is-free: $(BIN)/python
	@$(BIN)/python scripts/check_port.py $(PORT)

# --- the services of docker-compose.yml ------------------------------------------------------------------------------

# PostgreSQL, RabbitMQ, Redis and nginx have to be here (scripts/ensure_services.sh); scripts/stack.py tells what can be set.
stack: $(VENV)/.stamp-stack
	@$(BIN)/python scripts/check_port.py $(STACK_PORT)
	@exec env STACK_PORT=$(STACK_PORT) $(BIN)/python scripts/stack.py up

# --- checks ------------------------------------------------------------------------------------------------------

test: $(VENV)/.stamp-test
	@$(BIN)/python scripts/run_tests.py $(ARGS)

# What runs in a browser meets the database through the server alone, so once is enough.
browser: $(VENV)/.stamp-browser
	@$(BIN)/python scripts/run_tests.py --only sqlite --user-model auth.User -n 0 tests/browser $(ARGS)

# The example site has users of its own, so once on each database is enough. -rP shows how many requests it were.
fuzz: $(VENV)/.stamp-fuzz
	@$(BIN)/python scripts/run_tests.py --user-model auth.User tests/fuzz -rP $(ARGS)

# The deployed form, with what it stands on taken away; minutes, and hours with PM_LONG_TESTS=1.
faults: $(VENV)/.stamp-test
	@$(BIN)/python scripts/run_tests.py --only postgres --user-model auth.User -n 0 tests/stack/faults $(ARGS)

# The site's own database is PostgreSQL in a container, so that of the tests does not matter.
composed: $(VENV)/.stamp-test
	@$(BIN)/python scripts/run_tests.py --only sqlite --user-model auth.User -n 0 tests/stack/composed -rP $(ARGS)

openapi: $(VENV)/.stamp-test
	@$(BIN)/python scripts/write_openapi.py

messages: $(VENV)/.stamp-test
	@$(BIN)/python scripts/messages.py

reference: $(VENV)/.stamp-test
	@$(BIN)/python -W ignore -m scripts.reference

# The variable is the theme's: it would tell at each start that it has a successor (docs/dependencies.md).
docs: $(VENV)/.stamp-docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

docs-serve: $(VENV)/.stamp-docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --livereload --dev-addr 127.0.0.1:$(DOCS_PORT)

# Everything, which takes as long as `make test` and two minutes more; ARGS="services pages" leaves the tests out.
evidence: $(VENV)/.stamp-browser
	@$(BIN)/python -m scripts.evidence $(ARGS)

lint: $(VENV)/.stamp-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/zizmor --offline --quiet .github
	@echo makemigrations --check
	@$(SITE) $(MANAGE) makemigrations --check --dry-run

# Ruff's rules S tell bandit's findings of low severity already, of the scripts and tests as well, and SQL that is put
# together (B608), with a reason at each place.
audit: $(VENV)/.stamp-lint
	$(BIN)/bandit --quiet --recursive --severity-level medium --skip B608 src example_project
	$(BIN)/python scripts/check_advisories.py

# What the release workflow asks before it publishes anything; see CONTRIBUTING.md.
release-check: $(VENV)/.stamp-package
	$(BIN)/python scripts/check_version.py "v$$($(BIN)/python -c 'import django_pm; print(django_pm.__version__)')"
	$(BIN)/python scripts/check_wheel.py --into release

clean:
	rm -rf $(VENV) $(DEMO_DATA) .stack .tox .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist release site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the virtual environment -------------------------------------------------------------------------------------

# One stamp per dependency group of pyproject.toml. pip learned about groups in 25.1.
$(VENV)/.stamp-%: pyproject.toml $(BIN)/python
	@echo "Installing what “$*” needs into $(VENV) (once, about a minute) …"
	@$(BIN)/python -m pip install -q 'pip>=25.1'
	@$(BIN)/python -m pip install -q --editable . --group $*
	@touch $@

# --clear: what a half-made environment, or one whose Python has been removed, leaves is of no use.
$(BIN)/python:
	@python=$$(sh scripts/find_python.sh $(PYTHON)) && "$$python" -m venv --clear $(VENV)
