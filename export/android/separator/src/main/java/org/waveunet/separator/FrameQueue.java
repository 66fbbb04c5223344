package org.waveunet.separator;

import java.util.Arrays;

/** Frames that wait, interleaved: first in, first out. */
final class FrameQueue {
    private final int channels;
    private float[] samples = new float[0];
    private int begin;
    private int end;

    FrameQueue(int channels) {
        this.channels = channels;
    }

    int frames() {
        return (end - begin) / channels;
    }

    void clear() {
        begin = end = 0;
    }

    void put(float[] block, int offsetFrames, int frames) {
        int count = frames * channels;
        int at = room(count);
        System.arraycopy(block, offsetFrames * channels, samples, at, count);
    }

    void putSilence(int frames) {
        int at = room(frames * channels);
        Arrays.fill(samples, at, end, 0f);
    }

    /** Copies the first frames, which stay. */
    void peek(float[] target, int frames) {
        System.arraycopy(samples, begin, target, 0, frames * channels);
    }

    /**
     * The sum of the first frames of a channel, weighted with what begins at a weight.
     *
     * <p>Two sums of every other frame, which do not wait for each other.
     */
    double weighted(int channel, float[] weights, int first) {
        double even = 0;
        double odd = 0;
        int at = begin + channel;
        for (int i = first; i < weights.length - 1; i += 2, at += 2 * channels) {
            even += (double) weights[i] * samples[at];
            odd += (double) weights[i + 1] * samples[at + channels];
        }
        if ((weights.length - first) % 2 == 1) {
            even += (double) weights[weights.length - 1] * samples[at];
        }
        return even + odd;
    }

    void drop(int frames) {
        begin += frames * channels;
    }

    float[] take(int frames) {
        float[] taken = Arrays.copyOfRange(samples, begin, begin + frames * channels);
        drop(frames);
        return taken;
    }

    /** Makes room at the end, and counts it as filled; gives where it begins. */
    private int room(int count) {
        if (end + count > samples.length) {
            int kept = end - begin;
            boolean tooSmall = 2L * (kept + count) > samples.length;
            float[] target = tooSmall ? new float[2 * (kept + count)] : samples;
            System.arraycopy(samples, begin, target, 0, kept);
            samples = target;
            begin = 0;
            end = kept;
        }
        end += count;
        return end - count;
    }
}
