package org.waveunet.separator;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.util.List;

/** Songs that Python separated; the folder says how much we may differ. */
public final class GoldenTest {
    private static final int[] CHUNKINGS = {1, 7, 256, 65536};

    private GoldenTest() {}

    public static void stemsEqualThoseOfPythonForAllChunkings() throws IOException {
        List<String> cases = Files.readAllLines(new File(TestRunner.golden, "cases.txt").toPath());
        TestRunner.check(cases.size() > 15, "the songs must be there");
        for (String line : cases) {
            String[] words = line.split(" ");
            File path = new File(TestRunner.golden, words[1] + ".tflite");
            ModelFile model = ModelFile.read(path);
            StreamingSeparator separator = new StreamingSeparator(model, BridgeStep.of(path));
            File song = new File(TestRunner.golden, words[0]);
            for (int frames : CHUNKINGS) {
                compare(song, model.info, separator, frames, Double.parseDouble(words[2]));
            }
        }
    }

    /** The separator has been used for other songs: a new one begins anew. */
    private static void compare(
            File folder, ModelInfo info, StreamingSeparator separator, int frames, double most)
            throws IOException {
        try (WavReader reader = new WavReader(new File(folder, "song.wav"))) {
            int channels = reader.channels();
            float[] song = Signals.read(new File(folder, "song.wav"));
            SongStream stream =
                    new SongStream(info, separator, reader.sampleRateHz(), channels);
            float[][] stems = new float[info.sources.size()][0];
            for (float[] block : Signals.blocks(song, channels, frames)) {
                add(stems, stream.push(block));
            }
            add(stems, stream.finish());
            for (int i = 0; i < stems.length; i++) {
                String name = info.sources.get(i);
                float[] wanted = Signals.read(new File(folder, name + ".wav"));
                String what = folder.getName() + ", " + name + ", blocks of " + frames;
                TestRunner.checkNear(wanted, stems[i], most, what);
            }
        }
    }

    private static void add(float[][] stems, float[][] came) {
        for (int i = 0; i < stems.length; i++) {
            stems[i] = SongStream.joined(stems[i], came[i]);
        }
    }
}
