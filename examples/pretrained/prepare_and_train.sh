#!/bin/sh
# Makes the model waveunet_tf/pretrained/vocals-small again, as
# WORK/models/vocals-small: prepares the data, trains, packs, and scores the model on
# MUSDB18's validation tracks.
#
#     examples/pretrained/prepare_and_train.sh DATA WORK
#
# DATA holds musdb18-7s (musdb's 7-second MUSDB18) and eir-cc0 (a folder for each song).
# WORK is a folder for all results, about 8 GB. After a stop, the same call continues.
# The same machine and versions give the same weights; others round differently, and the
# scores then differ by some tenths of a dB.
set -eu
[ $# = 2 ] || { echo "usage: $0 DATA WORK" >&2; exit 2; }
data=$(realpath "$1")
mkdir -p "$2"
work=$(realpath "$2")
cd "$(dirname "$0")/../.."
python=.venv/bin/python

echo Sodium > "$work/valid.txt"
# Twice: the accompaniment as one stem, and as its own stems.
for speed in 1.0 0.85 0.92 1.08 1.17; do
    for sources in accompaniment,vocals drums,bass,other,vocals; do
        $python -m waveunet_tf prepare --dataset musdb18 --speed $speed \
            --source "$data/musdb18-7s" --output "$work/$sources/musdb18-$speed" \
            --sources $sources
        $python -m waveunet_tf prepare --dataset folder --speed $speed \
            --missing_is_silence --validation "$work/valid.txt" \
            --source "$data/eir-cc0" --output "$work/$sources/eir-$speed" \
            --sources $sources
    done
done

# Trains in WORK/STAGE on stems of SOURCES: on all data at its own speed, and at each of
# SPEEDS on MUSDB18 once and on the CC0 songs OFTEN times:
# train STAGE SOURCES OFTEN SPEEDS FLAGS
train() {
    stage=$1 stems=$work/$2 often=$3 speeds=$4
    shift 4
    set -- "$@" --data_dir "$stems/musdb18-1.0" --data_dir "$stems/eir-1.0"
    for speed in $speeds; do
        set -- "$@" --data_dir "$stems/musdb18-$speed"
        for _ in $(seq "$often"); do set -- "$@" --data_dir "$stems/eir-$speed"; done
    done
    exec $python -m waveunet_tf train --variant M5 --num_levels 9 \
        --base_filters 16 --output_frames 32768 --batch_size 4 --steps_per_epoch 500 \
        --learning_rate_schedule cosine --nofine_tuning --patience 99 --clip_norm 20 \
        --loss sdr --best_by sdr --swap_probability 0.5 --polarity_probability 0.5 \
        --precision mixed_bfloat16 --workdir "$work/$stage" "$@"
}

# Stops a stage after EPOCHS epochs: train_until EPOCHS STAGE …
train_until() {
    last=$1
    shift
    history=$work/$1/history.jsonl
    [ "$(epochs)" -lt "$last" ] || return 0
    (train "$@") &
    trap 'kill $!' EXIT
    while kill -0 $! 2> /dev/null && [ "$(epochs)" -lt "$last" ]; do sleep 1; done
    kill $!
    wait $! || true
    trap - EXIT
}
epochs() { if [ -f "$history" ]; then wc -l < "$history"; else echo 0; fi; }

(train stage-1 accompaniment,vocals 1 "0.92 1.08" \
    --learning_rate 6e-4 --max_epochs 18 --average_momentum 0.998 \
    --first_weights unit_variance --remix_probability 0.3)

# Stopped after its 17th epoch, which was the best of 24: the loss kept falling, but the
# validation SDR no longer rose.
train_until 17 stage-2 accompaniment,vocals 4 "0.85 0.92 1.08 1.17" \
    --learning_rate 5e-4 --max_epochs 36 --average_momentum 0.999 \
    --remix_probability 0.5 --min_gain 0.5 --seed 2 --init_from "$work/stage-1/best"

(train stage-3 accompaniment,vocals 2 "0.92 1.08" \
    --learning_rate 2.5e-4 --max_epochs 18 --average_momentum 0.998 \
    --remix_probability 0.3 --sdr_floor_db -13 --seed 3 \
    --init_from "$work/stage-2/best")

# Stopped as well, to continue with a learning rate that falls to zero.
train_until 12 stage-4 drums,bass,other,vocals 3 "0.85 0.92 1.08 1.17" \
    --learning_rate 5e-4 --max_epochs 44 --average_momentum 0.999 \
    --remix_probability 0.5 --min_gain 0.5 --sdr_floor_db -13 --seed 5 \
    --init_from "$work/stage-3/best"

# The first epoch was the best of 17.
train_until 1 stage-5 drums,bass,other,vocals 3 "0.85 0.92 1.08 1.17" \
    --learning_rate 3e-4 --max_epochs 17 --average_momentum 0.998 \
    --remix_probability 0.5 --min_gain 0.5 --sdr_floor_db -13 --seed 9 \
    --init_from "$work/stage-4/best"

[ -d "$work/average" ] || $python -m examples.pretrained.average \
    --checkpoint "$work/stage-3/best" --checkpoint "$work/stage-5/best" \
    --output "$work/average"
$python -m waveunet_tf pack --checkpoint "$work/average" --name vocals-small \
    --output_dir "$work/models" --overwrite --description "made again by $0"
export WAVEUNET_TF_MODELS="$work/models"
score() {
    $python -m waveunet_tf score --data_dir "$work/accompaniment,vocals/musdb18-1.0" \
        --subset valid --output_dir "$work/scores/$1" "$2" "$3"
}
score vocals-small --checkpoint vocals-small
score mixture --estimates mixture
$python -m waveunet_tf statistics vocals-small="$work/scores/vocals-small" \
    mixture="$work/scores/mixture"
