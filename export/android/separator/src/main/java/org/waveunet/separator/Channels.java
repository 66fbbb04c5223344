package org.waveunet.separator;

/** Mono and stereo. */
final class Channels {
    private Channels() {}

    /** Turns mono into stereo by repetition, stereo into mono by the mean. */
    static float[] convert(float[] samples, int from, int to) {
        if (from == to) {
            return samples;
        }
        int frames = samples.length / from;
        float[] converted = new float[frames * to];
        for (int frame = 0; frame < frames; frame++) {
            if (to == 1) {
                converted[frame] = (samples[2 * frame] + samples[2 * frame + 1]) / 2;
            } else {
                converted[2 * frame] = converted[2 * frame + 1] = samples[frame];
            }
        }
        return converted;
    }
}
