# SPDX-License-Identifier: Apache-2.0
# The two commands of the README are `make demo` and `make test`. Everything is built by Meson and Ninja in build/.

BUILD := build
RUNTIME := $(BUILD)/enclave/vigil-runtime.elf
LAB := --runtime $(RUNTIME) --target $(BUILD)/tests/defects/target
SWEEP := $(BUILD)/tests/sweep/sweep --runtime $(RUNTIME)

.PHONY: all packages build test real demo decoder sweep storm defects back-to-back bench bench-aex bench-edmm bench-real bench-notify lint asan fuzz hostile matrix clean

all: build

packages:
	@tools/install-packages.sh

build: packages
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) >/dev/null
	@ninja -C $(BUILD) --quiet

demo: build
	@tools/demo.sh

# EDMM=0|1 and AEXNOTIFY=0|1 select cells of the matrix of end-to-end tests; all four run without them.
test: build
	@tests/run.sh $(BUILD)

# Real programs of Debian in full, in every cell (make test has short versions).
real: build
	@tests/real/all.py $(BUILD) $(REAL)

# What AEX-Notify costs the end-to-end tests in wall time: all cells interleaved, ROUNDS=5 of them.
matrix: build
	@tests/matrix.py $(BUILD)

# Every boundary of every path and the pairs of them, see tests/sweep/all.sh. Less than an hour.
sweep: build
	@tests/sweep/all.sh $(BUILD) full

# The decoder against Zydis on whole programs and 25 million encodings. Half a minute.
decoder: build
	@tests/decoder/all.sh $(BUILD)/tests/decoder/differential full

# A test for each known defect, at every place, with what it found when the defect was planted. DEFECTS="D1 B2": these alone.
defects: build
	@$(BUILD)/tests/defects/defects $(LAB) --vigil $(BUILD)/cli/vigil --source . --verbose $(DEFECTS)

# A million AEXs in front of one instruction: nothing grows. Less than a minute.
back-to-back: build
	@$(BUILD)/tests/defects/back_to_back $(LAB) -n 1000000

storm: build
	@tests/storm.sh $(BUILD) 1000000

# All figures. bench-real alone takes options: make bench-real BENCH="--only redis-cpu,nginx --rounds 3 --check".
bench: bench-aex bench-edmm bench-real

bench-aex: build
	@bench/run.sh $(BUILD)

bench-edmm: build ; @bench/edmm.py --check $(BUILD)

bench-real: build
	@bench/real.py $(BENCH) $(BUILD)

# On against off in pairs, for the 1 %: 20 minutes. NOTIFY="--only lua --seconds 60".
bench-notify: build
	@bench/notify.py $(NOTIFY) $(BUILD)

# The manifest parser, the ELF loader and the host's answers, MINUTES (10) each, two at a time. What is found is in build/fuzz/found.
MINUTES := 10
fuzz: build
	@tests/fuzz/run.sh $(BUILD) $$(( $(MINUTES) * 60 ))

# Whole programs in enclaves whose host lies, each with what is said.
hostile: build
	@$(BUILD)/tests/hostile/hostile --runtime $(RUNTIME) --target $(BUILD)/tests/hostile/target --verbose

lint: packages
	@tools/lint.sh
	@tools/check-headers.sh

asan: packages
	@test -f build-asan/build.ninja || meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
	@ninja -C build-asan --quiet
	@ASAN_OPTIONS=detect_leaks=0 meson test -C build-asan --suite unit --print-errorlogs

clean:
	rm -rf $(BUILD) build-asan
