package org.waveunet.separator;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CancellationException;

/** A song → its stems as WAV files, in constant memory. */
public final class SongSeparator {
    /** Who waits for a song. */
    public interface Listener {
        /**
         * Is told how far the song is read, after each block.
         *
         * @param totalFrames -1 where the song does not tell
         */
        void progress(long frames, long totalFrames);

        /** Is asked before each block. */
        boolean isCancelled();
    }

    private final ModelInfo info;
    private final StreamingSeparator separator;

    public SongSeparator(ModelFile model, ModelStep step) {
        info = model.info;
        separator = new StreamingSeparator(model, step);
    }

    /**
     * Separates a song.
     *
     * <p>Until all stems are whole they have a name that ends with {@code .part}; of a song that
     * fails or is cancelled nothing stays.
     *
     * @param folder where {@code <source>.wav} are written; files of these names are replaced
     * @return source → how many samples were beyond full scale, and clipped
     * @throws InputException the song cannot be separated
     * @throws IOException the song cannot be read, a stem not written, or the model not run
     * @throws CancellationException the listener wished it
     */
    public Map<String, Long> separate(
            AudioSource song, File folder, WavWriter.Encoding encoding, Listener listener)
            throws IOException {
        List<File> parts = new ArrayList<>();
        List<WavWriter> writers = new ArrayList<>();
        try {
            int rateHz = song.sampleRateHz();
            SongStream stream = new SongStream(info, separator, rateHz, song.channels());
            for (String source : info.sources) {
                File part = new File(folder, source + ".wav.part");
                parts.add(part);
                writers.add(new WavWriter(part, rateHz, stream.channels, encoding));
            }
            separate(song, stream, writers, listener);
            Map<String, Long> clipped = new LinkedHashMap<>();
            for (int i = 0; i < parts.size(); i++) {
                writers.get(i).close();
                clipped.put(info.sources.get(i), writers.get(i).clippedSamples());
            }
            for (int i = 0; i < parts.size(); i++) {
                File whole = new File(folder, info.sources.get(i) + ".wav");
                Files.move(
                        parts.get(i).toPath(),
                        whole.toPath(),
                        StandardCopyOption.REPLACE_EXISTING);
                parts.set(i, whole); // goes, too, if a later stem cannot get its name
            }
            return clipped;
        } catch (IOException | RuntimeException | Error error) {
            discard(writers, parts, error);
            throw error;
        }
    }

    private static void separate(
            AudioSource song, SongStream stream, List<WavWriter> writers, Listener listener)
            throws IOException {
        long frames = 0;
        for (float[] block = song.read(); block != null; block = song.read()) {
            if (listener.isCancelled()) {
                throw new CancellationException("cancelled");
            }
            write(stream.push(block), writers);
            frames += block.length / song.channels();
            listener.progress(frames, song.frames());
        }
        write(stream.finish(), writers);
    }

    private static void write(float[][] stems, List<WavWriter> writers) throws IOException {
        for (int i = 0; i < stems.length; i++) {
            writers.get(i).write(stems[i]);
        }
    }

    private static void discard(List<WavWriter> writers, List<File> parts, Throwable error) {
        for (WavWriter writer : writers) {
            try {
                writer.close();
            } catch (IOException another) {
                error.addSuppressed(another);
            }
        }
        for (File part : parts) {
            if (part.exists() && !part.delete()) {
                part.deleteOnExit();
            }
        }
    }
}
