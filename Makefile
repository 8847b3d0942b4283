# The commands of the README. Each does all the set-up it needs on a fresh machine.
.PHONY: test
test:
	@scripts/test.sh
