# Every target makes its environment first (.venv, or the active one). Without make: python3 .ci/do.py TARGET
PYTHON ?= python3

.PHONY: quickstart test test-slow bench format lint types check setup
quickstart test test-slow bench format lint types check setup:
	@$(PYTHON) .ci/do.py $@ $(ARGS)
