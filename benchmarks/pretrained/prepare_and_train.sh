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
set --
for speed in 1.0 0.92 1.08; do
    $python -m waveunet_tf.run_prepare --dataset musdb18 --speed $speed \
        --source "$data/musdb18-7s" --output "$work/musdb18-$speed"
    $python -m waveunet_tf.run_prepare --dataset folder --speed $speed \
        --missing_is_silence --validation "$work/valid.txt" \
        --source "$data/eir-cc0" --output "$work/eir-$speed"
    set -- "$@" --data_dir "$work/musdb18-$speed" --data_dir "$work/eir-$speed"
done

$python -m waveunet_tf.run_train --variant M5 --num_levels 9 --base_filters 16 \
    --output_frames 32768 --batch_size 4 --learning_rate 6e-4 \
    --learning_rate_schedule cosine --nofine_tuning --steps_per_epoch 500 \
    --max_epochs 18 --patience 99 --first_weights unit_variance --clip_norm 20 \
    --average_momentum 0.998 --loss sdr --best_by sdr --remix_probability 0.3 \
    --swap_probability 0.5 --polarity_probability 0.5 --precision mixed_bfloat16 \
    --workdir "$work/training" "$@"

$python -m waveunet_tf.run_pack --checkpoint "$work/training/best" --name vocals \
    --output_dir "$work/models" --overwrite --description "made anew by $0"
export WAVEUNET_TF_MODELS="$work/models"
$python -m evaluate.run_musdb --data_dir "$work/musdb18-1.0" --subset valid \
    --checkpoint vocals --output_dir "$work/scores/vocals"
$python -m evaluate.run_musdb --data_dir "$work/musdb18-1.0" --subset valid \
    --estimates mixture --output_dir "$work/scores/mixture"
$python -m evaluate.run_summary vocals="$work/scores/vocals" \
    mixture="$work/scores/mixture"
