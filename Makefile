# One rule builds every module. To add a Go module, add its folder to MODULES; to add a function runtime, add it to RUNTIMES.
MODULES  := baetyl-agent baetyl-hub baetyl-function-manager baetyl-function-sql baetyl-remote-mqtt baetyl-timer
RUNTIMES := baetyl-function-python27 baetyl-function-python36 baetyl-function-node85

PREFIX   ?= /usr/local
REVISION ?= git-$(or $(shell git rev-parse HEAD 2>/dev/null | cut -c1-6),unknown)
VERSION  ?= $(shell cat VERSION)
GO       ?= go
FUZZTIME ?= 10s
BENCH    ?= .

CMD      := github.com/baetyl/baetyl/cmd
LDFLAGS  := -s -w -X $(CMD).Version=$(VERSION) -X $(CMD).Revision=$(REVISION)
# Without gRPC's trace pages and HTTP/2 for what is not gRPC each program is 1.2 MB smaller.
TAGS     := grpcnotrace,nethttpomithttp2
BUILD    := CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -tags $(TAGS) -ldflags "$(LDFLAGS)"

# make run installs into ./output unless PREFIX was given.
RUN_PREFIX := $(if $(filter file default undefined,$(origin PREFIX)),output,$(PREFIX))
HAVE_GO    := $(shell command -v $(GO) 2>/dev/null)
PACKAGES   := $(addsuffix /package.zip,$(MODULES) $(RUNTIMES))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

##@ Build

.PHONY: all
all: baetyl $(PACKAGES) ## build the master, every module and its package.zip

.PHONY: baetyl
baetyl: ## build the master alone
	@echo "==> building baetyl $(VERSION)"
	@$(BUILD) -o $@ .

.PHONY: cloud
cloud: ## build example/cloud, a cloud for devices with baetyl-agent, into output/cloud
	@mkdir -p output
	@$(BUILD) -o output/cloud ./example/cloud

# Go knows best what is stale, so every rule runs each time; what is up to date costs a moment.
.PHONY: $(PACKAGES)
$(PACKAGES): %/package.zip: .build/installer
	@echo "==> packing $*"
	@if [ -f $*/main.go ]; then $(BUILD) -o $*/$* ./$*; fi
	@.build/installer pack $* $@

.PHONY: .build/installer
.build/installer:
	@mkdir -p .build
	@GOOS= GOARCH= $(BUILD) -o $@ ./scripts/installer

.PHONY: rebuild
rebuild: clean ## clean, then build all
	@$(MAKE) --no-print-directory all

.PHONY: clean
clean: ## remove what was built; installed files and data stay
	@rm -rf baetyl .build $(PACKAGES) $(foreach m,$(MODULES),$(m)/$(m))

.PHONY: proto
proto: ## generate the stubs of function.proto for Go
	@scripts/proto.sh

.PHONY: image
image: .build/installer $(addsuffix /package.zip,$(RUNTIMES)) ## build a docker image of each module (IMAGE_PREFIX=, TAG=latest, PLATFORMS=linux/arm64,…)
	@GO="$(GO)" TAGS="$(TAGS)" LDFLAGS="$(LDFLAGS)" VERSION="$(VERSION)" REVISION="$(REVISION)" scripts/image.sh $(MODULES) $(RUNTIMES)

# PACKAGES above are the package.zip of modules; these are for dpkg and rpm.
.PHONY: packages
packages: ## deb, rpm and tar.gz of each processor into output/packages (TARGETS='amd64 runtimes', MINISIGN_KEY=file)
	@GO="$(GO)" TAGS="$(TAGS)" LDFLAGS="$(LDFLAGS)" VERSION="$(VERSION)" scripts/packages.sh $(TARGETS)

##@ Install and run

.PHONY: run
run: run-$(or $(MODE),native) ## build, install the example into ./output and start it in the foreground (MODE=docker: in containers)

.PHONY: run-native
run-native:
	@scripts/setup.sh
	@$(MAKE) --no-print-directory install-native PREFIX="$(RUN_PREFIX)"
	@exec scripts/run.sh "$(RUN_PREFIX)"

.PHONY: run-docker
run-docker:
	@$(MAKE) --no-print-directory image
	@$(MAKE) --no-print-directory install PREFIX="$(RUN_PREFIX)"
	@exec scripts/run.sh "$(RUN_PREFIX)"

# sudo often hides go: then what an earlier make built is installed.
.PHONY: install-native
install-native: $(if $(HAVE_GO),baetyl $(addsuffix /package.zip,$(RUNTIMES)),built) ## install the native example into PREFIX (default /usr/local)
	@scripts/install-tree.sh "$(PREFIX)" example/native $(MODULES) $(RUNTIMES)

.PHONY: uninstall-native
uninstall-native: $(if $(HAVE_GO),.build/installer,built) ## remove it; data and changed configuration stay unless PURGE=1
	@.build/installer remove $(if $(PURGE),-purge) "$(PREFIX)" $(MODULES) $(RUNTIMES)

.PHONY: install
install: $(if $(HAVE_GO),baetyl .build/installer,built) ## install the docker example into PREFIX; its images come from make image
	@scripts/install-tree.sh "$(PREFIX)" example/docker

.PHONY: uninstall
uninstall: uninstall-native ## the same as uninstall-native: what is installed is the same, but for packages

.PHONY: built
built:
	@for f in baetyl .build/installer $(addsuffix /package.zip,$(RUNTIMES)); do \
		[ -f $$f ] || { echo "$$f is missing, and go is not in PATH to build it: run make first, as the user that has go." >&2; exit 1; }; \
	done

##@ Write

.PHONY: function
function: ## a small function with a test, in a new folder: NEW=path/to/name IN=python, node, sql or go
	@scripts/function.sh '$(NEW)' '$(IN)'

##@ Test

.PHONY: test
test: ## the tests for everyday: set-up, lint, unit tests with -race, end to end in both modes (25 minutes on two cores)
	@MAKE="$(MAKE)" scripts/test.sh everyday

.PHONY: test-ci
test-ci: ## what CI runs: the same, and the unit tests on a processor with 32 bits (40 minutes)
	@MAKE="$(MAKE)" scripts/test.sh ci

.PHONY: test-all
test-all: ## without a limit: the same, every disk fault, every Python and Node, fuzz tests, kills under load (hours)
	@MAKE="$(MAKE)" scripts/test.sh all

.PHONY: test-emulated
test-emulated: ## the unit tests on arm/v7 and arm64, emulated by qemu-user; what can't run there is in the script
	@scripts/test-emulated.sh $(PROCESSOR)

.PHONY: test-docs
test-docs: ## what README and docs say, block by block, in a fresh copy of the last commit (PAGE=<pattern> some pages)
	PAGE='$(PAGE)' $(GO) test -tags docs -count=1 -timeout 60m -v -run '^TestDocuments$$' ./test/docs

.PHONY: test-vm
test-vm: ## on a machine in emulation: systemd, cgroup v2, reboot, power cuts (VM=<pattern> some, SHORT=1 the most important, CUTS=20)
	@test/vm/build.sh
	VM_CUTS=$(CUTS) $(GO) test -tags vm -count=1 -timeout 3h -v $(if $(SHORT),-short) $(if $(VM),-run '$(VM)') ./test/vm

.PHONY: test-packages
test-packages: ## install, upgrade, remove what make packages makes, with dpkg, rpm and install.sh (needs root; PACKAGES_RUN=<pattern> SHORT=1)
	@$(MAKE) --no-print-directory packages TARGETS='amd64 runtimes'
	$(GO) test -tags packages -count=1 -timeout 30m $(if $(SHORT),-short) $(if $(PACKAGES_RUN),-run '$(PACKAGES_RUN)' -v) ./test/packages

.PHONY: race
race: ## unit, golden and architecture tests with the race detector
	CGO_ENABLED=1 $(GO) test -race $(GOTESTFLAG) ./...

.PHONY: test-386
test-386: ## the unit tests where an int has 32 bits (386), go vet for 386, arm and arm64
	@scripts/test-386.sh

.PHONY: e2e
e2e: ## boot the installed example and use it with mosquitto's clients, MQTT.js and paho (E2E=<pattern> selects tests, MODE=docker)
	E2E_MODE=$(or $(MODE),native) $(GO) test -tags e2e -count=1 -timeout $(if $(BAETYL_TEST_ALL),90m,45m) -parallel 5 $(if $(E2E),-run '$(E2E)' -v) $(GOTESTFLAG) ./test/e2e

.PHONY: lint
lint: ## gofmt, go vet, shellcheck, golangci-lint
	@scripts/lint.sh

.PHONY: fuzz
fuzz: ## every fuzz test for FUZZTIME (default 10s) each
	@scripts/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## the hub beside mosquitto, nats-server, mochi-mqtt and ActiveMQ Artemis (ROWS=<pattern> BROKERS=<pattern> TIME=3s ROUNDS=1)
	@scripts/bench.sh

.PHONY: profile
profile: ## where the hub's processor time goes in rows of the benchmark (ROWS=<pattern> BROKERS='hub|hub@REV' TIME=10s)
	@scripts/profile.sh

.PHONY: bench-functions
bench-functions: ## functions beside plain scripts and a stream engine (ROWS=<pattern> ROUNDS=1 TIME=3s MODE=docker)
	@MAKE="$(MAKE)" scripts/bench-functions.sh

.PHONY: bench-start
bench-start: ## the start of the native example beside that of another commit (REV=f7a1501 ROUNDS=10)
	@MAKE="$(MAKE)" scripts/bench-start.sh

.PHONY: bench-operator
bench-operator: ## what the command line and a master with ten services cost (ROUNDS=10); needs root
	@mkdir -p output/cache/bench
	@$(BUILD) -o output/cache/bench/baetyl .
	@$(GO) build -o output/cache/bench/bench ./test/bench
	@output/cache/bench/bench -operator output/cache/bench/baetyl -rounds $(or $(ROUNDS),10)

.PHONY: bench-memory
bench-memory: ## the memory of an idle edge, as one program and as a program for each module (ROUNDS=3 AFTER=15)
	@MAKE="$(MAKE)" GO="$(GO)" MODULES="$(MODULES)" TAGS="$(TAGS)" LDFLAGS="$(LDFLAGS)" scripts/bench-memory.sh

.PHONY: bench-wear
bench-wear: ## what a device writes to its disk in a day: idle, and with 1 and 10 messages a second (MINUTES=5 SIZE=200, root)
	@MAKE="$(MAKE)" scripts/bench-wear.sh

.PHONY: bench-code
bench-code: ## Go benchmarks of the hot paths (BENCH=<pattern> selects them)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

.PHONY: init-bytes
init-bytes: ## what each program costs before main: bytes of initialisers, size of the binary (PROGRAMS=, default all)
	@GO="$(GO)" TAGS="$(TAGS)" LDFLAGS="$(LDFLAGS)" scripts/init-bytes.sh $(PROGRAMS)

.PHONY: crash
crash: ## kill the hub 200 times under load and count what is missing (KILLS=200)
	HUB_KILLS=$(or $(KILLS),200) $(GO) test -count=1 -timeout 30m -v -run '^TestKill$$' ./baetyl-hub/hub

.PHONY: hostile
hostile: ## a client that may log in does its worst: does the hub keep to limits.memory, does its neighbour notice (TIME=1h)
	HOSTILE_TIME=$(or $(TIME),1h) $(GO) test -count=1 -timeout 24h -v -run '^TestHostile$$' ./test/hostile

.PHONY: soak
soak: ## hub and functions under the load of a site: do memory, descriptors or goroutines grow (TIME=1h; 1m at least)
	SOAK_TIME=$(or $(TIME),1h) $(GO) test -count=1 -timeout 24h -v -run '^TestSoak$$' ./test/soak

.PHONY: sim
sim: ## hub, clients and a disk that forgets, from seeds: SEEDS=200 FROM=1, or one with its trace: SEED=
	$(if $(SEED),SIM_REPLAY=$(SEED) $(GO) test -count=1 -v -run '^TestReplay$$' ./baetyl-hub/sim,SIM_SEEDS=$(or \
	$(SEEDS),200) SIM_FROM=$(or $(FROM),1) $(GO) test -count=1 -timeout 5h -run '^TestSeeds$$' ./baetyl-hub/sim)

.PHONY: sim-bugs
sim-bugs: ## plant the bugs of docs/simulation.md, each of which a seed must find
	SIM_BUGS=1 $(GO) test -count=1 -timeout 1h -v -run '^TestBugs$$' ./baetyl-hub/sim

.PHONY: remote-crash
remote-crash: ## kill bridge, hub and far broker under load and count what is missing (KILLS=90)
	REMOTE_KILLS=$(or $(KILLS),90) $(GO) test -count=1 -timeout 30m -v -run '^TestKill$$' ./baetyl-remote-mqtt/remote

.PHONY: outage
outage: ## a far broker that is away while a million messages come in, then the drain (MESSAGES=1000000)
	REMOTE_OUTAGE=$(or $(MESSAGES),1000000) $(GO) test -count=1 -timeout 60m -v -run '^TestOutage$$' ./baetyl-remote-mqtt/remote

.PHONY: function-crash
function-crash: ## kill function manager, instances and hub 104 times under load and count results (KILLS=104)
	FUNCTION_KILLS=$(or $(KILLS),104) $(GO) test -count=1 -timeout 30m -v -run '^TestKills$$' ./baetyl-function-manager/manager

.PHONY: agent-crash
agent-crash: ## kill the agent 200 times in the middle of updates and see what becomes of them (KILLS=200)
	AGENT_KILLS=$(or $(KILLS),200) $(GO) test -count=1 -timeout 30m -v -run '^TestKill' ./baetyl-agent/agent

.PHONY: agent-faults
agent-faults: ## let each operation of the agent's disk fail in every way, power cuts included
	AGENT_FAULTS=1 $(GO) test -count=1 -timeout 30m -run '^TestFaults' ./baetyl-agent/...

.PHONY: disk-full
disk-full: ## fill the hub's disk, a small ext4, and see what it does (needs root)
	$(GO) test -count=1 -v -run '^TestFullDisk$$' ./baetyl-hub/hub

.PHONY: test-daemons
test-daemons: ## the docker engine on docker 20.10, the newest docker and podman (DAEMONS="dockerd newest podman")
	@scripts/test-daemons.sh $(or $(DAEMONS),dockerd newest podman)

.PHONY: disorder
disorder: ## everything that happens to containers and their daemon, in random order (TIME=1m SEED= WITHOUT=ids,prune,…)
	DISORDER_TIME=$(or $(TIME),1m) DISORDER_SEED=$(SEED) DISORDER_WITHOUT=$(WITHOUT) $(GO) test -count=1 -timeout 60m -v -run '^TestDisorder$$' ./test/disorder

.PHONY: slow-reader
slow-reader: ## readers that don't read, clients that don't acknowledge, crowds
	$(GO) test -count=1 -v -run '^(TestReaderThatStopsReading|TestWriteTimeout|TestSlowReaderLosesOnlyQOS0|TestClientThatNeverAcknowledges|TestReconnectLoop|TestCrowd)$$' ./baetyl-hub/conformance

.PHONY: security
security: ## look at every official service while it runs, and write docs/security.md (needs root; IMAGE_PREFIX=, CHECK=1 compares)
	@MAKE="$(MAKE)" IMAGE_PREFIX="$(IMAGE_PREFIX)" CHECK="$(CHECK)" scripts/security.sh

##@ Help

.PHONY: help
help: ## this text
	@awk 'BEGIN { FS = ":.*## "; print "make [target] [PREFIX=/usr/local] [VERSION=...]" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
