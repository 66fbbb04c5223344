package org.waveunet.separator;

import java.io.File;
import java.io.IOException;
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
