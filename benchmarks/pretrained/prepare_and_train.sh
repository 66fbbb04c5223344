#!/bin/sh
# Makes the model waveunet_tf/pretrained/vocals anew, as WORK/models/vocals: prepares,
# trains, packs and scores on MUSDB18's validation tracks.
#
#     benchmarks/pretrained/prepare_and_train.sh DATA WORK
#
# DATA holds musdb18-7s (musdb's 7-second MUSDB18) and eir-cc0 (a folder a song); WORK is
# a folder for all that is made, some 2 GB. Called again after a stop, it goes on. The
# same machine and versions give the same weights; others differ by rounding, and so in
# the end by some tenths of a dB.
set -eu
[ $# = 2 ] || { echo "usage: $0 DATA WORK" >&2; exit 2; }
data=$(realpath "$1")
mkdir -p "$2"
work=$(realpath "$2")
cd "$(dirname "$0")/../.."
python=.venv/bin/python

echo Sodium > "$work/valid.txt"
for speed in 1.0 0.85 0.92 1.08 1.17; do
    $python -m waveunet_tf.run_prepare --dataset musdb18 --speed $speed \
        --source "$data/musdb18-7s" --output "$work/musdb18-$speed"
    $python -m waveunet_tf.run_prepare --dataset folder --speed $speed \
        --missing_is_silence --validation "$work/valid.txt" \
        --source "$data/eir-cc0" --output "$work/eir-$speed"
done

# Trains in WORK/<stage> on all data at its own speed, and at other speeds on each track
# of MUSDB18 and so many times as often on each CC0 song: train STAGE OFTEN SPEEDS FLAGS
train() {
    stage=$1 often=$2 speeds=$3
    shift 3
    set -- "$@" --data_dir "$work/musdb18-1.0" --data_dir "$work/eir-1.0"
    for speed in $speeds; do
        set -- "$@" --data_dir "$work/musdb18-$speed"
        for _ in $(seq "$often"); do set -- "$@" --data_dir "$work/eir-$speed"; done
    done
    exec $python -m waveunet_tf.run_train --variant M5 --num_levels 9 \
        --base_filters 16 --output_frames 32768 --batch_size 4 --steps_per_epoch 500 \
        --learning_rate_schedule cosine --nofine_tuning --patience 99 --clip_norm 20 \
        --loss sdr --best_by sdr --swap_probability 0.5 --polarity_probability 0.5 \
        --precision mixed_bfloat16 --workdir "$work/$stage" "$@"
}

(train stage-1 1 "0.92 1.08" --learning_rate 6e-4 --max_epochs 18 \
    --average_momentum 0.998 --first_weights unit_variance --remix_probability 0.3)

# Stopped after its 17th epoch of 36, which was its best in 24: its loss went on falling,
# but the validation SDR did not rise any more.
history=$work/stage-2/history.jsonl
epochs() { if [ -f "$history" ]; then wc -l < "$history"; else echo 0; fi; }
if [ "$(epochs)" -lt 17 ]; then
    (train stage-2 4 "0.85 0.92 1.08 1.17" --learning_rate 5e-4 --max_epochs 36 \
        --average_momentum 0.999 --remix_probability 0.5 --min_gain 0.5 --seed 2 \
        --init_from "$work/stage-1/best") &
    trap 'kill $!' EXIT
    while kill -0 $! 2> /dev/null && [ "$(epochs)" -lt 17 ]; do sleep 1; done
    kill $!
    wait $! || true
    trap - EXIT
fi

(train stage-3 2 "0.92 1.08" --learning_rate 2.5e-4 --max_epochs 18 \
    --average_momentum 0.998 --remix_probability 0.3 --sdr_floor_db -13 --seed 3 \
    --init_from "$work/stage-2/best")

$python -m waveunet_tf.run_pack --checkpoint "$work/stage-3/best" --name vocals \
    --output_dir "$work/models" --overwrite --description "made anew by $0"
export WAVEUNET_TF_MODELS="$work/models"
$python -m evaluate.run_musdb --data_dir "$work/musdb18-1.0" --subset valid \
    --checkpoint vocals --output_dir "$work/scores/vocals"
$python -m evaluate.run_musdb --data_dir "$work/musdb18-1.0" --subset valid \
    --estimates mixture --output_dir "$work/scores/mixture"
$python -m evaluate.run_summary vocals="$work/scores/vocals" \
    mixture="$work/scores/mixture"
