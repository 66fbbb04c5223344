package org.waveunet.separator;

/**
 * Resamples audio that comes in blocks, by a linear phase filter, without delay.
 *
 * <p>Output frame j is at the time j · from / to of the input, and is the sum of the input's frames
 * around it, weighted with h(their distance), where h(t) is a windowed sinc. In units of the lower
 * of the two rates: its cutoff is 0.9565 of the Nyquist frequency, its Kaiser window has β = 14.47
 * and 106 frames on each side, so that it passes up to 0.913 and stops from 1 on, with ripples
 * of -140 dB. Those are the passband and stopband of soxr's very high quality, which the Python
 * side uses; in between the two differ. Before and after the audio there is silence.
 *
 * <p>The coefficients are tabulated for each of the phases that the ratio has (to / gcd of both):
 * 44100 → 22050 Hz has 1, 48000 → 22050 Hz 147, each of 4 bytes times 212 to a few times that.
 */
public final class Resampler {
    private static final double PASSBAND_END = 0.913; // of the lower Nyquist frequency
    private static final double RIPPLE_DB = 140;
    private static final int MAX_COEFFICIENTS = 1 << 24;

    private final int channels;
    private final int up;
    private final int down;
    private final int half;
    private final float[][] phases;
    private final FrameQueue queue;
    private long came;
    private long gone;
    private long dropped;

    /**
     * Starts a stream.
     *
     * @throws InputException the ratio of the rates has too many phases
     */
    public Resampler(int fromHz, int toHz, int channels) throws InputException {
        this.channels = channels;
        int common = gcd(fromHz, toHz);
        up = toHz / common;
        down = fromHz / common;
        queue = new FrameQueue(channels);
        double lower = Math.min(1.0, (double) toHz / fromHz); // of the input's rate
        double width = (RIPPLE_DB - 7.95) / (14.36 * (1 - PASSBAND_END) / 2 * lower);
        half = (int) Math.ceil(width / 2);
        if (up != down && 2L * half * up > MAX_COEFFICIENTS) {
            throw new InputException(
                    "sample rates must have a simple ratio. Received: " + fromHz + " and " + toHz);
        }
        phases = up == down ? null : table(lower * (1 + PASSBAND_END) / 2);
    }

    /** Takes interleaved frames; gives what is ready, which may be nothing. */
    public float[] push(float[] samples) {
        came += samples.length / channels;
        if (phases == null) {
            gone = came;
            return samples;
        }
        queue.put(samples, 0, samples.length / channels);
        // Output frame j needs the input up to floor(j · down / up) + half.
        long known = came - half;
        return make(known <= 0 ? 0 : (known * up + down - 1) / down);
    }

    /** Ends the stream of so many output frames; gives the rest. */
    public float[] finish(long frames) {
        long wanted = Math.max(frames, gone);
        if (phases == null) {
            float[] rest = new float[(int) (wanted - gone) * channels];
            gone = wanted;
            return rest;
        }
        long needed = wanted * down / up + half + 1;
        queue.putSilence((int) Math.max(needed - came, 0));
        return make(wanted);
    }

    /** Ends the stream with as many frames as the audio's length asks for, rounded up. */
    public float[] finish() {
        return finish((came * up + down - 1) / down);
    }

    private float[] make(long until) {
        float[] made = new float[(int) Math.max(until - gone, 0) * channels];
        for (int at = 0; at < made.length; at += channels, gone++) {
            long begin = gone * down / up - half + 1;
            float[] weights = phases[(int) (gone * down % up)];
            // The queue begins at the first frame that is still needed.
            if (begin > dropped) {
                queue.drop((int) (begin - dropped));
                dropped = begin;
            }
            int first = (int) Math.max(dropped - begin, 0);
            for (int channel = 0; channel < channels; channel++) {
                made[at + channel] = (float) queue.weighted(channel, weights, first);
            }
        }
        return made;
    }

    /** Phase → the weights of the frames from floor(time) - half + 1 on. */
    private float[][] table(double cutoff) {
        double beta = 0.1102 * (RIPPLE_DB - 8.7);
        float[][] table = new float[up][2 * half];
        for (int phase = 0; phase < up; phase++) {
            for (int tap = 0; tap < 2 * half; tap++) {
                double time = (double) phase / up + half - 1 - tap;
                double place = time / half;
                double window = bessel(beta * Math.sqrt(Math.max(1 - place * place, 0)));
                double angle = Math.PI * cutoff * time;
                double sinc = angle == 0 ? cutoff : cutoff * Math.sin(angle) / angle;
                table[phase][tap] = (float) (sinc * window / bessel(beta));
            }
        }
        return table;
    }

    /** The modified Bessel function of the first kind and order 0, by its power series. */
    private static double bessel(double x) {
        double sum = 1;
        double term = 1;
        for (int k = 1; term > 1e-17 * sum; k++) {
            term *= (x / (2 * k)) * (x / (2 * k));
            sum += term;
        }
        return sum;
    }

    private static int gcd(int a, int b) {
        return b == 0 ? a : gcd(b, a % b);
    }
}
