# The first Python here of a version that the pinned packages exist for.
PYTHON ?= $(shell for python in python3.12 python3.11 python3.10 python3; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' \
	2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
# The newest versions have a Python and an environment of their own.
PYTHON_LATEST ?= $(shell for python in python3.13 \
	$(wildcard $(HOME)/.pyenv/versions/3.13.*/bin/python); do \
	$$python -c 'import ensurepip, venv' 2>/dev/null && echo $$python && break; done)
LATEST := .venv-latest

# Where it is set, each of the tests' processes would compile the project anew: a tenth
# of the tests' time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo train-small arm64 test test-slow test-web test-latest fuzz kills android-assets \
	test-android-core docs lint clean

demo: .venv/installed
	$(BIN)/python -m examples.demo --output_dir demo

# An hour on two cores. DATA holds musdb18-7s (the 7-second MUSDB18) and eir-cc0 (songs).
DATA ?= ../shared/data
SMALL ?= train-small
train-small: .venv/installed
	mkdir -p $(SMALL)
	echo Sodium > $(SMALL)/valid.txt
	$(BIN)/waveunet prepare --dataset musdb18 \
		--source $(DATA)/musdb18-7s --output $(SMALL)/musdb18
	$(BIN)/waveunet prepare --dataset folder --missing_is_silence \
		--source $(DATA)/eir-cc0 --validation $(SMALL)/valid.txt --output $(SMALL)/eir
	$(BIN)/waveunet train --variant M4 --num_levels 9 --base_filters 14 \
		--batch_size 6 --learning_rate 3e-4 \
		--fine_tuning_learning_rate 3e-5 --steps_per_epoch 200 --max_epochs 24 \
		--patience 6 --loss l1 --remix_probability 0.6 --swap_probability 0.5 \
		--polarity_probability 0.5 --data_dir $(SMALL)/musdb18 --data_dir $(SMALL)/eir \
		--workdir $(SMALL)/training
	$(BIN)/waveunet score --data_dir $(SMALL)/musdb18 --subset valid \
		--checkpoint $(SMALL)/training/best --output_dir $(SMALL)/scores/wave-u-net
	$(BIN)/waveunet score --data_dir $(SMALL)/musdb18 --subset valid \
		--estimates mixture --output_dir $(SMALL)/scores/mixture
	$(BIN)/waveunet statistics wave-u-net=$(SMALL)/scores/wave-u-net \
		mixture=$(SMALL)/scores/mixture

# Some minutes: a tiny network's TFLite files on 64-bit ARM, emulated, and on x86-64. After
# one step of training, because later a network this tiny is below parity's floors.
TFLITE := tflite_float32,tflite_float16,tflite_dynamic,tflite_int8,tflite_int16x8,tflite_mixed
arm64: .venv/installed
	rm -rf arm64
	mkdir -p arm64/musdb18/train
	cp .venv/lib/python3*/site-packages/stempeg/data/*.stem.mp4 arm64/musdb18/train
	$(BIN)/waveunet prepare --dataset musdb18 \
		--source arm64/musdb18 --output arm64/prepared --sample_rate_hz 22050
	$(BIN)/waveunet train --variant M4 --num_levels 5 --base_filters 8 \
		--output_frames 2048 --batch_size 8 --steps_per_epoch 1 --max_epochs 1 \
		--nofine_tuning --data_dir arm64/prepared --workdir arm64/training
	for mode in streaming window; do $(BIN)/waveunet export \
		--checkpoint arm64/training/best --output arm64/artefacts/$$mode --mode $$mode \
		--formats $(TFLITE) --chunk_frames 4096 --calibration_dir arm64/prepared \
		|| exit 1; done
	$(BIN)/waveunet arm64 --artifacts arm64/artefacts

# FILES=tests/audio runs some of them.
FILES ?=
test: .venv/installed-dev
	$(BIN)/pytest -n 2 --dist loadgroup --durations=20 $(FILES)

test-slow: .venv/installed-dev
	$(BIN)/pytest -m slow $(FILES)

# Spoiled files, answers and flags for MINUTES, of all targets or of TARGETS; what breaks
# something is left in fuzz-findings/ (docs/robustness.md).
MINUTES ?= 5
TARGETS ?=
fuzz: .venv/installed-dev
	$(BIN)/python -m tests.fuzz.runner --minutes=$(MINUTES) $(TARGETS)

# An hour or two: kills long commands at KILLS random moments each, and compares.
KILLS ?= 20
kills: .venv/installed-dev
	$(BIN)/python -m tests.fuzz.kills --kills=$(KILLS)

# The page that separates in the browser: its scripts are linted and their types checked,
# and all its tests run, also long ones. Needs npm, and for the tests Chromium.
WEB := export/web
test-web: .venv/installed-dev $(WEB)/node_modules/.package-lock.json
	cd $(WEB) && npm run --silent lint && npm run --silent types
	$(BIN)/pytest -m "slow or not slow" tests/$(WEB)

$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json
	@npm --version > /dev/null 2>&1 || { echo "error: needs npm (on Debian: apt install \
	npm)" >&2; exit 1; }
	cd $(WEB) && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

# The tests on the newest versions, requirements-latest.txt.
test-latest: $(LATEST)/installed
	$(LATEST)/bin/pytest -n 2 --dist loadgroup --durations=20 -rs $(FILES)

# Builds a model into the Android app: then opening export/android in Android Studio is
# the only step. MODEL is a model's name or a checkpoint, KIND one of docs/mobile.md.
MODEL ?= vocals-small
KIND ?= dynamic
ANDROID_ASSETS ?= export/android/app/src/main/assets
android-assets: .venv/installed
	$(BIN)/waveunet export --checkpoint $(MODEL) --formats tflite_$(KIND) \
		--output $(ANDROID_ASSETS)/.made --overwrite
	mv $(ANDROID_ASSETS)/.made/tflite_$(KIND).tflite $(ANDROID_ASSETS)/model.tflite
	rm -f $(ANDROID_ASSETS)/MODEL-LICENSE.txt
	test ! -f $(ANDROID_ASSETS)/.made/MODEL-LICENSE.txt || \
		mv $(ANDROID_ASSETS)/.made/MODEL-LICENSE.txt $(ANDROID_ASSETS)
	rm -r $(ANDROID_ASSETS)/.made

# The Android app's heart, on the JVM, against stems that Python gives; needs a JDK.
# What Java 8 has, Android 8 has; a newer JDK warns of it (options). -Xmx is a phone's heap.
ANDROID_CORE := export/android/separator
ANDROID_BUILD ?= $(ANDROID_CORE)/build
# Those stems; a folder that is there already is taken as it is.
ANDROID_GOLDEN ?= $(ANDROID_BUILD)/golden
test-android-core: .venv/installed
	@javac -version > /dev/null 2>&1 || { echo "error: needs a JDK (on Debian: apt \
	install openjdk-17-jdk-headless)" >&2; exit 1; }
	rm -rf $(ANDROID_BUILD)
	mkdir -p $(ANDROID_BUILD)/classes
	javac --release 8 -Xlint:all,-options -Werror -encoding UTF-8 \
		-d $(ANDROID_BUILD)/classes $$(find $(ANDROID_CORE)/src -name '*.java')
	test -d $(ANDROID_GOLDEN) || TF_CPP_MIN_LOG_LEVEL=3 \
		$(BIN)/python -m waveunet_tf.export.android.golden $(ANDROID_GOLDEN)
	java -Xmx256m -XX:TieredStopAtLevel=1 -cp $(ANDROID_BUILD)/classes \
		org.waveunet.separator.TestRunner \
		$(ANDROID_GOLDEN) $(BIN)/python -m waveunet_tf.export.android.bridge

# The API reference, out of the docstrings.
docs: .venv/installed-dev
	$(BIN)/python docs/reference.py build/docs

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf .venv $(LATEST) demo arm64 fuzz-findings $(ANDROID_BUILD)

.venv/installed: requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: needs Python 3.10 to 3.12 with venv (on \
	Debian: apt install python3-venv); name one with make PYTHON=…" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps -e .
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements-dev.txt
	touch $@

$(LATEST)/installed: requirements-latest.txt pyproject.toml
	@test -n "$(PYTHON_LATEST)" || { echo "error: needs Python 3.13 with venv (on \
	Debian: apt install python3.13-venv); name it with make PYTHON_LATEST=…" >&2; exit 1; }
	test -x $(LATEST)/bin/python || $(PYTHON_LATEST) -m venv $(LATEST)
	$(LATEST)/bin/python -m pip install --disable-pip-version-check -q \
		-r requirements-latest.txt
	$(LATEST)/bin/python -m pip install --disable-pip-version-check -q --no-deps -e .
	$(LATEST)/bin/python -m pip check
	touch $@
