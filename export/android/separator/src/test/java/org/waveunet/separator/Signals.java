package org.waveunet.separator;

import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/** Audio for tests. */
final class Signals {
    private Signals() {}

    static float[] noise(int samples, long seed) {
        Random random = new Random(seed);
        float[] noise = new float[samples];
        for (int i = 0; i < samples; i++) {
            noise[i] = 2 * random.nextFloat() - 1;
        }
        return noise;
    }

    static List<float[]> blocks(float[] samples, int channels, int frames) {
        List<float[]> blocks = new ArrayList<>();
        for (int at = 0; at < samples.length; at += frames * channels) {
            int end = Math.min(at + frames * channels, samples.length);
            blocks.add(Arrays.copyOfRange(samples, at, end));
        }
        return blocks;
    }

    static float[] read(File wav) throws IOException {
        try (WavReader reader = new WavReader(wav)) {
            List<float[]> blocks = new ArrayList<>();
            for (float[] block = reader.read(); block != null; block = reader.read()) {
                blocks.add(block);
            }
            return SongStream.joined(blocks.toArray(new float[0][]));
        }
    }
}
