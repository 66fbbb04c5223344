package org.waveunet.separator;

import java.io.File;
import java.io.IOException;

public final class ResamplerTest {
    private ResamplerTest() {}

    private static float[] resampled(float[] samples, int fromHz, int toHz, int channels)
            throws IOException {
        Resampler resampler = new Resampler(fromHz, toHz, channels);
        float[] pushed = resampler.push(samples);
        return SongStream.joined(pushed, resampler.finish());
    }

    /** soxr's own errors at the ratios that it interpolates are 3e-6. */
    public static void thePassbandIsExactAndSoxrGivesTheSame() throws IOException {
        for (int[] rates :
                new int[][] {{44100, 22050}, {22050, 44100}, {48000, 22050}, {44100, 8192}}) {
            File folder = new File(TestRunner.golden, "resampled");
            String name = rates[0] + "-" + rates[1];
            float[] signal = Signals.read(new File(folder, name + ".wav"));
            float[] ours = resampled(signal, rates[0], rates[1], 2);
            float[] exact = Signals.read(new File(folder, name + "-exact.wav"));
            TestRunner.checkNear(exact, ours, 3e-7, name);
            float[] soxr = Signals.read(new File(folder, name + "-soxr.wav"));
            TestRunner.checkNear(soxr, ours, 5e-6, name + ", soxr");
        }
    }

    public static void blocksOfAnyLengthGiveTheSame() throws IOException {
        float[] song = Signals.noise(2 * 3001, 1);
        for (int[] rates : new int[][] {{44100, 22050}, {8000, 44100}, {48000, 44100}}) {
            float[] whole = resampled(song, rates[0], rates[1], 2);
            for (int frames : new int[] {1, 7, 640}) {
                Resampler resampler = new Resampler(rates[0], rates[1], 2);
                float[] came = new float[0];
                for (float[] block : Signals.blocks(song, 2, frames)) {
                    came = SongStream.joined(came, resampler.push(block));
                }
                came = SongStream.joined(came, resampler.finish());
                TestRunner.checkNear(whole, came, 0, "blocks of " + frames);
            }
        }
    }

    public static void asManyFramesComeOutAsTheLengthAsksFor() throws IOException {
        for (int frames : new int[] {0, 1, 2, 319, 320, 321, 1000}) {
            int wanted = (frames * 147 + 319) / 320;
            TestRunner.checkEqual(wanted, resampled(new float[frames], 48000, 22050, 1).length);
            Resampler resampler = new Resampler(48000, 22050, 1);
            int pushed = resampler.push(new float[frames]).length;
            TestRunner.checkEqual(wanted + 5, pushed + resampler.finish(wanted + 5).length);
        }
    }

    /** The response to an impulse at an even frame tells gain, delay and symmetry. */
    public static void thePassbandIsFlatAndTheStopbandSilentWithoutDelay() throws IOException {
        int middle = 2000;
        float[] impulse = new float[2 * middle + 1];
        impulse[middle] = 1;
        // Twice the rate: the filter's own response, at the higher rate.
        float[] response = resampled(impulse, 11025, 22050, 1);
        int centre = 2 * middle;
        for (int i = 1; i < 1000; i++) {
            double difference = Math.abs(response[centre - i] - response[centre + i]);
            TestRunner.check(difference < 1e-7, "the response must be symmetrical");
        }
        for (double hz = 0; hz < 11025; hz += 7) {
            double gain = 0; // of the linear phase response around its centre
            for (int i = 0; i < response.length; i++) {
                gain += response[i] * Math.cos(2 * Math.PI * hz / 22050 * (i - centre));
            }
            gain /= 2;
            if (hz < 0.913 * 5512.5) {
                TestRunner.check(Math.abs(gain - 1) < 1e-6, "gain " + gain + " at " + hz + " Hz");
            } else if (hz > 5512.5) {
                TestRunner.check(Math.abs(gain) < 1e-6, "gain " + gain + " at " + hz + " Hz");
            }
        }
    }

    public static void ratesWithoutASimpleRatioAreRefused() {
        TestRunner.checkRefused("simple ratio", () -> new Resampler(22050, 2147483647, 1));
        TestRunner.checkRefused("simple ratio", () -> new Resampler(2147483647, 22050, 1));
    }
}
