package org.waveunet.separator;

import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.Collections;

public final class ModelFileTest {
    private ModelFileTest() {}

    public static void theMetadataIsRead() throws IOException {
        ModelInfo info = ModelFile.read(new File(TestRunner.golden, "stereo.tflite")).info;
        TestRunner.checkEqual(8000, info.sampleRateHz);
        TestRunner.checkEqual(2, info.channels);
        TestRunner.checkEqual(Arrays.asList("accompaniment", "vocals"), info.sources);
        TestRunner.checkEqual(256, info.chunkFrames);
        TestRunner.checkEqual(true, info.difference);
        TestRunner.check(info.latencyFrames > 0, "a network with context looks ahead");
        TestRunner.check(info.states.size() > 3, "a stream has states");
    }

    public static void aWindowHasNoStates() throws IOException {
        ModelFile model = ModelFile.read(new File(TestRunner.golden, "context.tflite"));
        TestRunner.checkEqual(Collections.emptyMap(), model.info.states);
        TestRunner.checkEqual(0, model.info.latencyFrames);
        TestRunner.check(model.info.contextFrames > 0, "a network with context has some");
        TestRunner.check(
                model.info.inputFrames
                        == model.info.outputFrames + 2 * model.info.contextFrames,
                "context is on both sides");
    }

    public static void otherFilesAreRefused() throws IOException {
        refused("no TFLite identifier", new byte[0]);
        refused("no TFLite identifier", "a text that is no model".getBytes("US-ASCII"));
        byte[] hollow = new byte[64];
        System.arraycopy("TFL3".getBytes("US-ASCII"), 0, hollow, 4, 4);
        refused("broken", hollow);
        hollow[3] = (byte) 0xFF;
        refused("broken", hollow);
    }

    public static void aTruncatedFileIsRefusedWhereverItEnds() throws IOException {
        byte[] whole = content();
        for (int part = 0; part < 40; part++) {
            refused("broken", Arrays.copyOf(whole, 8 + (whole.length - 9) * part / 39));
        }
    }

    public static void anotherFormatVersionIsRefused() throws IOException {
        refused("`format_version` must be 2. Received: 3.0",
                replaced(content(), "\"format_version\": 2", "\"format_version\": 3"));
    }

    public static void aModelOfAnotherProjectIsRefused() throws IOException {
        refused("must carry the metadata waveunet_config",
                replaced(content(), "waveunet_config", "something_other"));
    }

    public static void metadataThatDoesNotFitIsRefused() throws IOException {
        byte[] whole = content();
        refused("must be JSON", replaced(whole, "{\"format_version\"", "{_format_version\""));
        refused("`mode` must be streaming or window. Received: another__",
                replaced(whole, "\"mode\": \"streaming\"", "\"mode\": \"another__\""));
        refused("`chunk_frames` must be a whole number",
                replaced(whole, "\"chunk_frames\": 256", "\"chunk_frames\": 0.5"));
        refused("its arrays must be those that its metadata tells, but mixture is not",
                replaced(whole, "\"chunk_frames\": 256", "\"chunk_frames\": 128"));
        refused("`channels` must be a whole number from 1 to 2. Received: 3.0",
                replaced(whole, "8000, \"channels\": 2", "8000, \"channels\": 3"));
    }

    /** Each of the values that Python takes of the network. */
    public static void metadataThatContradictsItsNetworkIsRefused() throws IOException {
        byte[] whole = content();
        refused("`sample_rate_hz` must be that of its network. Received: 4000",
                replaced(whole, "\"sample_rate_hz\": 8000, \"channels\": 2, \"sources\"",
                        "\"sample_rate_hz\": 4000, \"channels\": 2, \"sources\""));
        refused("`channels` must be that of its network. Received: 1",
                replaced(whole, "\"sample_rate_hz\": 8000, \"channels\": 2, \"sources\"",
                        "\"sample_rate_hz\": 8000, \"channels\": 1, \"sources\""));
        refused("`sources` must be that of its network",
                replaced(whole, "\"sources\": [\"accompaniment\", \"vocals\"], \"chunk_frames\"",
                        "\"sources\": [\"vocals\", \"accompaniment\"], \"chunk_frames\""));
        refused("`network` must be an object",
                replaced(whole, "\"network\": {", "\"natwork\": {"));
    }

    /** The tests run in as little memory as a phone gives. */
    public static void nothingIsAllocatedForWhatTheFileDoesNotHold() throws IOException {
        ModelInfo info = ModelFile.read(new File(TestRunner.golden, "stereo.tflite")).info;
        int[] shape = info.states.values().iterator().next();
        byte[] wrong = withShape(content(), shape, new int[] {1, 1, 1, 1 << 28});
        String told = Arrays.toString(shape);
        String large = String.format("%-" + told.length() + "s", "[" + (1 << 28) + "]");
        refused("must be arrays of at most", replaced(wrong, told, large));
        // Within the limit, and yet more than the file has.
        wrong = withShape(content(), shape, new int[] {1, 1, 1, 1 << 26});
        large = String.format("%-" + told.length() + "s", "[" + (1 << 26) + "]");
        refused("must repeat a frame", replaced(wrong, told, large));
    }

    public static void aShapeWhoseSizeOverflowsIsRefused() throws IOException {
        ModelInfo info = ModelFile.read(new File(TestRunner.golden, "stereo.tflite")).info;
        int[] shape = {1, 1, 256, 2};
        TestRunner.checkEqual(256, info.chunkFrames);
        int[] wraps = {1, 1 << 23, 1 << 9, (1 << 9) + 512}; // 2^42
        refused("is not", withShape(content(), shape, wraps));
        int[] same = {1 << 16, 1 << 16, 256, 2}; // 2^32 times as many
        refused("is not", withShape(content(), shape, same));
        int[] odd = {641, 6700417, 256, 2}; // 2^32 + 1 times as many
        refused("is not", withShape(content(), shape, odd));
    }

    public static void aFileOfMoreThanOneGibibyteIsRefused() throws IOException {
        File file = new File(TestRunner.folder(), "large.tflite");
        try (RandomAccessFile made = new RandomAccessFile(file, "rw")) {
            made.setLength(3L << 30); // sparse: takes no room on the disk
        }
        TestRunner.checkRefused("of at most 1 GiB", () -> ModelFile.read(file));
        TestRunner.check(file.delete(), "the large file must go");
    }

    public static void namesOfArraysMustDiffer() throws IOException {
        ModelInfo info = ModelFile.read(new File(TestRunner.golden, "stereo.tflite")).info;
        for (String state : info.states.keySet()) {
            if (state.length() >= ModelInfo.MIXTURE.length()) {
                String told = "{\"name\": \"" + state + "\",";
                String other = "{\"name\": \"" + ModelInfo.MIXTURE + "\",";
                other = String.format("%-" + told.length() + "s", other);
                refused("`states` must be names that differ", replaced(content(), told, other));
                return;
            }
        }
        throw new AssertionError("no name is long enough");
    }

    public static void whatCameIsShownInOneShortLine() throws IOException {
        String[] lines = {"a\\nb", "a\\u2028"};
        for (String line : lines) {
            String told = "\"sources\": [\"accompaniment\"";
            String other = "\"sources\": [\"" + line + "\"";
            other = String.format("%-" + told.length() + "s", other);
            refused("names of letters", replaced(content(), told, other));
        }
    }

    /** All vectors of four numbers that are a shape, replaced. */
    private static byte[] withShape(byte[] content, int[] shape, int[] by) {
        TestRunner.checkEqual(shape.length, by.length);
        return replaced(content, vector(shape), vector(by));
    }

    private static String vector(int[] numbers) {
        ByteBuffer bytes = ByteBuffer.allocate(4 + 4 * numbers.length);
        bytes.order(ByteOrder.LITTLE_ENDIAN).putInt(numbers.length);
        for (int number : numbers) {
            bytes.putInt(number);
        }
        return new String(bytes.array(), StandardCharsets.ISO_8859_1);
    }

    private static byte[] content() throws IOException {
        return Files.readAllBytes(new File(TestRunner.golden, "stereo.tflite").toPath());
    }

    /** All places of a text in a file, replaced by one of the same length. */
    private static byte[] replaced(byte[] content, String old, String by) {
        TestRunner.checkEqual(old.length(), by.length());
        String text = new String(content, StandardCharsets.ISO_8859_1);
        TestRunner.check(text.contains(old), "the file must have " + old);
        return text.replace(old, by).getBytes(StandardCharsets.ISO_8859_1);
    }

    private static void refused(String words, byte[] content) throws IOException {
        File file = new File(TestRunner.folder(), "model.tflite");
        file.deleteOnExit();
        Files.write(file.toPath(), content);
        TestRunner.checkRefused(words, () -> ModelFile.read(file));
        TestRunner.checkRefused(file + ": ", () -> ModelFile.read(file));
    }
}
