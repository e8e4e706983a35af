# One artifact for all functions, made once: packages (pinned, Linux wheels, no container), then our own code.
# `sam build` calls build-<LogicalId> for each function; each links the same files into its ARTIFACTS_DIR. It hands no
# job server on, so its makes must not look for the one that our MAKEFLAGS name.
ARTIFACT := build/lambda
FUNCTIONS := RecommendFunction ItemsFunction CatalogueFunction EventsFunction AbsorbFunction SourcesFunction TextsFunction UsersFunction
SOURCES := $(shell find fusionrec functions -name '*.py' 2>/dev/null) fusionrec/py.typed $(wildcard fusionrec/text/model/*)
PACK := $(TOOLS)/pack/bin/python
# pip takes a wheel only when its tag is named. Lambda's python3.12 has glibc 2.34.
LINUX := $(foreach glibc,34 31 28 27 26 24 17,--platform manylinux_2_$(glibc)_x86_64) --platform manylinux2014_x86_64
PIP_TARGET := $(PIP_INSTALL) --only-binary=:all: --python-version 3.12 $(LINUX) --constraint constraints.txt
PYTHON312 = $(shell infra/find-python 3.12 2>/dev/null)
COMPILE_WITH = $(addprefix --python ,$(PYTHON312))

.PHONY: build
build: $(TOOLS)/sam/.ready $(ARTIFACT)/own/.ready ## the functions, by `sam build`
	$(if $(PYTHON312),,@echo "no python3.12 here: the artifact is not precompiled, its cold start is slower")
	MAKEFLAGS=--no-print-directory infra/sam build

$(TOOLS)/pack/.ready:
	@"$(PYTHON)" -m venv $(TOOLS)/pack && touch $@

$(ARTIFACT)/packages/.ready: pyproject.toml constraints.txt infra/lean_feast.txt infra/artifact.py $(TOOLS)/pack/.ready
	@echo "installing the functions' packages into $(ARTIFACT)/packages"
	@rm -rf $(ARTIFACT)/packages $(ARTIFACT)/feast
	@$(PACK) $(PIP_TARGET) --target $(ARTIFACT)/packages '.[serve]'
	@$(PACK) $(PIP_TARGET) --target $(ARTIFACT)/feast --no-deps feast
	@rm -rf $(ARTIFACT)/packages/{fusionrec,functions,training,fusionrec-*}
	@$(PACK) -m infra.artifact $(ARTIFACT)/packages --feast $(ARTIFACT)/feast $(COMPILE_WITH)
	@touch $@

# setuptools keeps build/lib between builds, with modules that are gone from the source.
$(ARTIFACT)/own/.ready: $(ARTIFACT)/packages/.ready $(SOURCES)
	@rm -rf $(ARTIFACT)/own build/lib build/bdist.*
	@$(PACK) $(PIP_TARGET) --target $(ARTIFACT)/own --no-deps .
	@$(PACK) -m infra.artifact $(ARTIFACT)/own $(COMPILE_WITH)
	@touch $@

# Hard links cost no time and no space; another file system gets copies.
.PHONY: $(FUNCTIONS:%=build-%)
$(FUNCTIONS:%=build-%): $(ARTIFACT)/own/.ready
	@for part in packages own; do \
	  cp -al $(ARTIFACT)/$$part/. "$(ARTIFACTS_DIR)/" 2>/dev/null || cp -a $(ARTIFACT)/$$part/. "$(ARTIFACTS_DIR)/" || exit 1; \
	done
	@rm -f "$(ARTIFACTS_DIR)/.ready"
