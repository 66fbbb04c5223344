package org.waveunet.separator;

import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CancellationException;

public final class SongSeparatorTest {
    private static final int FRAMES = 4999;

    private SongSeparatorTest() {}

    /** A song in blocks of 1000 frames, some of which may be broken. */
    private static final class Song implements AudioSource {
        private final List<float[]> blocks;
        private final int channels;
        int sampleRateHz = 8000;

        Song(float[] samples, int channels) {
            blocks = Signals.blocks(samples, channels, 1000);
            this.channels = channels;
        }

        @Override
        public int sampleRateHz() {
            return sampleRateHz;
        }

        @Override
        public int channels() {
            return channels;
        }

        @Override
        public long frames() {
            return FRAMES;
        }

        @Override
        public float[] read() {
            return blocks.isEmpty() ? null : blocks.remove(0);
        }

        @Override
        public void close() {}
    }

    /** Keeps what it is told; cancels after so many blocks. */
    private static final class Waiting implements SongSeparator.Listener {
        final List<Long> told = new ArrayList<>();
        private final int most;

        Waiting(int most) {
            this.most = most;
        }

        @Override
        public void progress(long frames, long totalFrames) {
            TestRunner.checkEqual((long) FRAMES, totalFrames);
            told.add(frames);
        }

        @Override
        public boolean isCancelled() {
            return told.size() >= most;
        }
    }

    private static Map<String, Long> separate(AudioSource song, File folder, Waiting waiting)
            throws IOException {
        File path = new File(TestRunner.golden, "stereo.tflite");
        return new SongSeparator(ModelFile.read(path), BridgeStep.of(path))
                .separate(song, folder, WavWriter.Encoding.FLOAT_32, waiting);
    }

    public static void aFileBecomesStemsAndProgressIsTold() throws IOException {
        File folder = TestRunner.folder();
        File golden = new File(TestRunner.golden, "stereo-8000-2-" + FRAMES);
        Waiting waiting = new Waiting(100);
        try (WavReader song = new WavReader(new File(golden, "song.wav"))) {
            TestRunner.checkEqual(
                    Arrays.asList("accompaniment", "vocals"),
                    new ArrayList<>(separate(song, folder, waiting).keySet()));
        }
        for (String name : new String[] {"accompaniment.wav", "vocals.wav"}) {
            float[] wanted = Signals.read(new File(golden, name));
            TestRunner.checkNear(wanted, Signals.read(new File(folder, name)), 1e-6, name);
        }
        TestRunner.checkEqual(2, clear(folder));
        TestRunner.checkEqual(Arrays.asList((long) FRAMES), waiting.told);
    }

    public static void aCancelledSongLeavesNothing() throws IOException {
        File folder = TestRunner.folder();
        Waiting waiting = new Waiting(3);
        boolean cancelled = false;
        try {
            separate(new Song(Signals.noise(2 * FRAMES, 7), 2), folder, waiting);
        } catch (CancellationException error) {
            cancelled = true;
        }
        TestRunner.check(cancelled, "must be cancelled");
        TestRunner.checkEqual(Arrays.asList(1000L, 2000L, 3000L), waiting.told);
        TestRunner.checkEqual(0, clear(folder));
    }

    public static void whatCannotBeSeparatedLeavesNothing() throws IOException {
        File folder = TestRunner.folder();
        float[] broken = Signals.noise(2 * FRAMES, 8);
        broken[2 * 2345 + 1] = Float.NaN;
        TestRunner.checkRefused(
                "NaN or infinity in frame 2345",
                () -> separate(new Song(broken, 2), folder, new Waiting(100)));
        TestRunner.checkRefused(
                "1 or 2 channels. Received: 6",
                () -> separate(new Song(new float[600], 6), folder, new Waiting(100)));
        TestRunner.checkEqual(0, clear(folder));
    }

    /** Of such a model a file of 16 bits would hold silence, from there to the song's end. */
    public static void aModelThatGivesNoNumbersIsRefused() throws IOException {
        ModelFile model = ModelFile.read(new File(TestRunner.golden, "stereo.tflite"));
        for (float none : new float[] {Float.NaN, Float.NEGATIVE_INFINITY}) {
            int[] calls = {0};
            ModelStep broken =
                    (inputs, outputs) -> {
                        if (calls[0]++ == 9) {
                            outputs.get("accompaniment").asFloatBuffer().put(7, none);
                        }
                    };
            File folder = TestRunner.folder();
            AudioSource song = new Song(Signals.noise(2 * FRAMES, 7), 2);
            TestRunner.checkRefused(
                    "model must give finite samples. Received: NaN or infinity in accompaniment",
                    () ->
                            new SongSeparator(model, broken)
                                    .separate(
                                            song,
                                            folder,
                                            WavWriter.Encoding.PCM_16,
                                            new Waiting(100)));
            TestRunner.checkEqual(0, clear(folder));
        }
    }

    /** The second stem's name is taken by a folder that is not empty. */
    public static void aStemThatCannotGetItsNameLeavesNoOtherThere() throws IOException {
        File folder = TestRunner.folder();
        File taken = new File(folder, "vocals.wav");
        File inside = new File(taken, "x");
        TestRunner.check(inside.mkdirs(), "must be made");
        boolean failed = false;
        try {
            separate(new Song(Signals.noise(2 * FRAMES, 7), 2), folder, new Waiting(100));
        } catch (IOException error) {
            failed = true;
        }
        TestRunner.check(failed, "must fail");
        TestRunner.check(inside.delete(), "must be there");
        TestRunner.checkEqual(1, clear(folder));
    }

    public static void ratesBeyondThoseOfSongsAreRefused() throws IOException {
        File folder = TestRunner.folder();
        for (int hz : new int[] {0, -1, 10_000_001}) {
            Song song = new Song(Signals.noise(2 * FRAMES, 9), 2);
            song.sampleRateHz = hz;
            TestRunner.checkRefused(
                    "sample rate must be from", () -> separate(song, folder, new Waiting(100)));
        }
        TestRunner.checkEqual(0, clear(folder));
    }

    /** A short song at a low rate becomes very many frames at the network's rate. */
    public static void aSongOfOneHertzTakesLittleMemoryAtOnce() throws IOException {
        ModelFile model = ModelFile.read(new File(TestRunner.golden, "stereo.tflite"));
        ModelStep silent = (inputs, outputs) -> {};
        StreamingSeparator separator = new StreamingSeparator(model, silent);
        SongStream stream = new SongStream(model.info, separator, 1, 2);
        float[] song = Signals.noise(2 * 600, 9);
        float[][] first = stream.push(song);
        float[][] rest = stream.finish();
        // A network that says nothing leaves all to the last source, the difference.
        TestRunner.checkNear(song, SongStream.joined(first[1], rest[1]), 1e-6, "the difference");
        TestRunner.checkNear(
                new float[song.length], SongStream.joined(first[0], rest[0]), 0, "silence");
    }

    private static int clear(File folder) {
        File[] files = folder.listFiles();
        for (File file : files) {
            TestRunner.check(file.delete(), "must be a file: " + file);
        }
        return files.length;
    }
}
