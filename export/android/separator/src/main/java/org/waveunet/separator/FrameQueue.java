package org.waveunet.separator;

import java.util.Arrays;

/** Frames that wait, interleaved: first in, first out. */
final class FrameQueue {
    // Twice as many are an array's length, at most.
    private static final int MOST_SAMPLES = 1 << 29;

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
        int at = room(frames);
        System.arraycopy(block, offsetFrames * channels, samples, at, frames * channels);
    }

    void putSilence(int frames) {
        int at = room(frames);
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
    private int room(int frames) {
        long wanted = (long) end - begin + (long) frames * channels;
        if (wanted > MOST_SAMPLES) {
            throw new OutOfMemoryError("more samples would wait than an array holds: " + wanted);
        }
        int count = frames * channels;
        if (count > samples.length - end) {
            int kept = end - begin;
            boolean tooSmall = 2 * wanted > samples.length;
            float[] target = tooSmall ? new float[(int) (2 * wanted)] : samples;
            System.arraycopy(samples, begin, target, 0, kept);
            samples = target;
            begin = 0;
            end = kept;
        }
        end += count;
        return end - count;
    }
}
