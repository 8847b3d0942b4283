# The commands of the README. demo and test do all the set-up they need on a fresh machine.
.PHONY: demo test build setup dist
demo:
	@scripts/demo.sh
test:
	@scripts/test.sh
build:
	go build -o bin/synshard ./cmd/synshard
setup:
	@scripts/setup.sh
dist:
	@scripts/dist.sh
