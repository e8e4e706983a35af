# Tools that must not share the project's environment, each with every version pinned:
#   .tools/sam       the SAM CLI, which carries the Runtime Interface Emulator
#   .tools/emulator  an AWS emulator that runs without Docker (python3.12)
#   .tools/lambda    the Lambda runtime client, on the functions' own Python (python3.12)
#   .tools/peers     libraries that benchmarks/peers.py compares with; not part of `make tools`, it is large
TOOLS := .tools

.PHONY: tools
tools: $(TOOLS)/sam/.ready
	@if infra/find-python 3.12 >/dev/null 2>&1; then \
	  $(MAKE) --no-print-directory $(TOOLS)/emulator/.ready $(TOOLS)/lambda/.ready; \
	else \
	  echo "no python3.12 here: tests that run the functions are skipped (FUSIONREC_PYTHON312 can name one)"; \
	fi

$(TOOLS)/sam/.ready: infra/constraints-sam.txt
	@echo "installing the SAM CLI into $(TOOLS)/sam"
	@test -x $(TOOLS)/sam/bin/python || "$(PYTHON)" -m venv $(TOOLS)/sam
	$(TOOLS)/sam/bin/python $(PIP_INSTALL) --constraint $< aws-sam-cli
	@touch $@

$(TOOLS)/emulator/.ready: infra/constraints-emulator.txt
	@echo "installing the AWS emulator into $(TOOLS)/emulator"
	@test -x $(TOOLS)/emulator/bin/python || "$$(infra/find-python 3.12)" -m venv $(TOOLS)/emulator
	$(TOOLS)/emulator/bin/python $(PIP_INSTALL) --constraint $< ministack aws-sam-translator
	@touch $@

$(TOOLS)/lambda/.ready: infra/constraints-lambda.txt
	@echo "installing the Lambda runtime client into $(TOOLS)/lambda"
	@test -x $(TOOLS)/lambda/bin/python || "$$(infra/find-python 3.12)" -m venv $(TOOLS)/lambda
	$(TOOLS)/lambda/bin/python $(PIP_INSTALL) --constraint $< awslambdaric
	@touch $@

$(TOOLS)/peers/.ready: infra/constraints-peers.txt
	@echo "installing the peers of the quality benchmark into $(TOOLS)/peers"
	@test -x $(TOOLS)/peers/bin/python || "$(PYTHON)" -m venv $(TOOLS)/peers
	$(TOOLS)/peers/bin/python $(PIP_INSTALL) --constraint $< 'rectools[torch]' implicit lenskit
	@touch $@
