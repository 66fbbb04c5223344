package org.waveunet.separator;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;

/**
 * Reads the files that standard input names, one a line, for tests/fuzz/java_core.py.
 *
 * <p>Answers each with a line: "result", "refused …" or "fault …".
 */
public final class FileLoop {
    private FileLoop() {}

    public static void main(String[] arguments) throws IOException {
        BufferedReader lines =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            System.out.println(answer(new File(line)));
            System.out.flush();
        }
    }

    private static String answer(File file) {
        try {
            if (file.getName().endsWith(".tflite")) {
                ModelFile.read(file);
                return "result";
            }
            try (WavReader reader = new WavReader(file)) {
                return readWhole(reader);
            }
        } catch (InputException error) {
            return "refused " + error.getMessage();
        } catch (IOException | RuntimeException | Error error) {
            StackTraceElement[] trace = error.getStackTrace();
            String place = trace.length > 0 ? trace[0].toString() : "nowhere";
            return ("fault " + error + " at " + place).replace('\n', ' ');
        }
    }

    private static String readWhole(WavReader reader) throws IOException {
        long samples = 0;
        for (float[] block = reader.read(); block != null; block = reader.read()) {
            samples += block.length;
            for (float sample : block) {
                if (Float.isNaN(sample) || Float.isInfinite(sample)) {
                    return "fault a sample that is not finite";
                }
            }
        }
        boolean whole = samples == reader.frames() * reader.channels();
        return whole ? "result" : "fault " + samples + " samples";
    }
}
