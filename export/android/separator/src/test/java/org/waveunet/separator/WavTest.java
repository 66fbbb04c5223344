package org.waveunet.separator;

import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;

public final class WavTest {
    private WavTest() {}

    private static File file() throws IOException {
        File file = new File(TestRunner.folder(), "song.wav");
        file.deleteOnExit();
        return file;
    }

    private static File written(float[] samples, int channels, WavWriter.Encoding encoding)
            throws IOException {
        File file = file();
        try (WavWriter writer = new WavWriter(file, 44100, channels, encoding)) {
            for (float[] block : Signals.blocks(samples, channels, 1000)) {
                writer.write(block);
            }
        }
        return file;
    }

    /** Files of libsndfile, and the floats that it reads from them. */
    public static void allFormatsAreReadAsLibsndfileDoes() throws IOException {
        File folder = new File(TestRunner.golden, "wavs");
        File[] files = folder.listFiles((there, name) -> !name.endsWith("-read.wav"));
        TestRunner.check(files.length >= 8, "the files must be there");
        for (File file : files) {
            File read = new File(file.getPath().replace(".wav", "-read.wav"));
            TestRunner.checkNear(Signals.read(read), Signals.read(file), 0, file.getName());
        }
    }

    /** What is written is also read by libsndfile: tests/android_core_test.py. */
    public static void whatIsWrittenIsReadAgain() throws IOException {
        float[] samples = Signals.noise(2 * 5001, 3);
        double[] most = {0.5 / 32768 + 1e-7, 0.5 / 8388608 + 1e-7, 0};
        for (WavWriter.Encoding encoding : WavWriter.Encoding.values()) {
            File file = written(samples, 2, encoding);
            double bound = most[encoding.ordinal()];
            TestRunner.checkNear(samples, Signals.read(file), bound, encoding.name());
            Files.copy(
                    file.toPath(),
                    new File(TestRunner.golden, "written-" + encoding + ".wav").toPath());
        }
        Files.copy(
                written(samples, 2, WavWriter.Encoding.FLOAT_32).toPath(),
                new File(TestRunner.golden, "written.wav").toPath());
    }

    public static void oddDataIsPaddedAndNoFramesAreAFile() throws IOException {
        File odd = written(Signals.noise(3, 4), 1, WavWriter.Encoding.PCM_24);
        TestRunner.checkEqual(58L + 9 + 1, odd.length());
        TestRunner.checkEqual(3, Signals.read(odd).length);
        File none = written(new float[0], 2, WavWriter.Encoding.PCM_16);
        TestRunner.checkEqual(0, Signals.read(none).length);
    }

    public static void whatIsBeyondFullScaleIsClippedAndCounted() throws IOException {
        File file = file();
        WavWriter writer = new WavWriter(file, 8000, 1, WavWriter.Encoding.PCM_16);
        writer.write(new float[] {1.5f, -1.5f, 1f, -1f, 0f});
        writer.close();
        TestRunner.checkEqual(2L, writer.clippedSamples());
        float top = 32767 / 32768f;
        TestRunner.checkNear(
                new float[] {top, -1f, top, -1f, 0f}, Signals.read(file), 0, "clipped");
    }

    /** A device that is always full; some systems have none. */
    public static void aFileThatCannotBeBegunIsClosed() throws IOException {
        File full = new File("/dev/full");
        File open = new File("/proc/self/fd");
        if (!full.exists() || !open.isDirectory()) {
            return;
        }
        int before = open.list().length;
        for (int i = 0; i < 8; i++) {
            boolean failed = false;
            try {
                new WavWriter(full, 44100, 2, WavWriter.Encoding.PCM_16);
            } catch (IOException error) {
                failed = true;
            }
            TestRunner.check(failed, "must fail");
        }
        TestRunner.checkEqual(before, open.list().length);
    }

    public static void openSizesAreReadToTheEnd() throws IOException {
        float[] samples = Signals.noise(777, 5);
        int[][] open = {
            {-1, -1}, // ffmpeg
            {0x7FFFF024, 0x7FFFF000}, // sox
            {0x7FFFF020, 0x7FFFEFFC}, // sox, in whole frames of 24 bits
            {0x7FFF0024, 0x7FFF0000}, // GStreamer
            {0, 0},
            {50, 0}
        };
        for (int[] sizes : open) {
            File file = written(samples, 1, WavWriter.Encoding.FLOAT_32);
            patch(file, 4, sizes[0]);
            patch(file, 54, sizes[1]);
            TestRunner.checkNear(samples, Signals.read(file), 0, "open sizes");
        }
        // No frames, but a chunk behind them, which the first header counts.
        File none = written(new float[2], 1, WavWriter.Encoding.FLOAT_32);
        patch(none, 54, 0);
        TestRunner.checkEqual(0, Signals.read(none).length);
    }

    public static void whatIsNoWholeWavIsRefused() throws IOException {
        File whole = written(Signals.noise(100, 6), 1, WavWriter.Encoding.PCM_16);
        byte[] content = Files.readAllBytes(whole.toPath());
        for (int length : new int[] {0, 3, 11, 30, 57, content.length - 2}) {
            Files.write(whole.toPath(), Arrays.copyOf(content, length));
            TestRunner.checkRefused("truncated", () -> Signals.read(whole));
        }
        Files.write(whole.toPath(), "this is a text, not a WAV".getBytes("US-ASCII"));
        TestRunner.checkRefused("no RIFF", () -> Signals.read(whole));
        // 3 GiB, which no writer leaves that does not know the size.
        Files.write(whole.toPath(), content);
        patch(whole, 54, 0xC0000000);
        TestRunner.checkRefused("truncated", () -> Signals.read(whole));
        refused("Received: format 2 of 16 bits", content, 20, 2);
        refused("Received: format 1 of 8 bits", content, 34, 8);
        refused("must agree", content, 22, 2);
        refused("must agree", content, 22, 0);
        refused("must have 16 bytes", content, 16, 14);
        refused("before the data", content, 12, 'j');
    }

    public static void framesOfAnySizeAreReadInBlocksOfLimitedSize() throws IOException {
        int channels = 16383; // of 32 bits: the most whose frame's size the header can tell
        File file = file();
        try (RandomAccessFile made = new RandomAccessFile(file, "rw")) {
            made.write(header(channels, 8000, 4 * channels * 20000L));
            made.setLength(44 + 4 * channels * 20000L); // sparse: takes no room on the disk
        }
        try (WavReader reader = new WavReader(file)) {
            TestRunner.checkEqual(20000L, reader.frames());
            for (int i = 0; i < 3; i++) {
                float[] block = reader.read();
                TestRunner.checkEqual(0, block.length % channels);
                TestRunner.check(block.length > 0, "a block is not empty");
                TestRunner.check(block.length <= 1 << 20, "a block of " + block.length);
            }
        }
        TestRunner.check(file.delete(), "the large file must go");
    }

    /** The 44 bytes before samples of 32 bits. */
    private static byte[] header(int channels, int hz, long bytes) {
        ByteBuffer header = ByteBuffer.allocate(44).order(ByteOrder.LITTLE_ENDIAN);
        header.put("RIFF".getBytes(StandardCharsets.US_ASCII)).putInt((int) (36 + bytes));
        header.put("WAVEfmt ".getBytes(StandardCharsets.US_ASCII)).putInt(16);
        header.putShort((short) 1).putShort((short) channels).putInt(hz).putInt(0);
        header.putShort((short) (4 * channels)).putShort((short) 32);
        header.put("data".getBytes(StandardCharsets.US_ASCII)).putInt((int) bytes);
        return header.array();
    }

    private static void refused(String words, byte[] content, int place, int value)
            throws IOException {
        File file = file();
        byte[] wrong = content.clone();
        wrong[place] = (byte) value;
        Files.write(file.toPath(), wrong);
        TestRunner.checkRefused(words, () -> Signals.read(file));
        TestRunner.checkRefused(file + ": ", () -> Signals.read(file));
    }

    private static void patch(File file, int place, int value) throws IOException {
        try (RandomAccessFile patched = new RandomAccessFile(file, "rw")) {
            patched.seek(place);
            patched.writeInt(Integer.reverseBytes(value));
        }
    }
}
