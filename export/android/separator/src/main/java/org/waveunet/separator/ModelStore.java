package org.waveunet.separator;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;

/**
 * Where an app keeps its model: one file, whose place another takes when it is whole, or not at
 * all.
 */
public final class ModelStore {
    /** Is held while a model takes its place; hold it, too, to open the same one twice. */
    public static final Object LOCK = new Object();

    private static final String PART_PREFIX = "picked-";
    private static final String PART_SUFFIX = ".part";
    private static final long OLD_MILLIS = 24 * 60 * 60 * 1000L;

    /** The model, which may not be there yet. */
    public final File model;

    private final File folder;
    private final long mostBytes;

    public ModelStore(File folder) {
        this(folder, ModelFile.MAX_BYTES);
    }

    ModelStore(File folder, long mostBytes) {
        this.folder = folder;
        this.mostBytes = mostBytes;
        model = new File(folder, "model.tflite");
    }

    /**
     * Takes another model, if it is one. Several may come at a time: each has a file of its own
     * until it is whole, and the last one stays.
     *
     * @param content is read to its end, and not closed
     * @param toldBytes how long the content says that it is; -1 where it does not
     * @throws InputException it is too long, or {@link ModelFile#read} refuses it
     * @throws IOException it cannot be read or written
     */
    public void install(InputStream content, long toldBytes) throws IOException {
        if (toldBytes > mostBytes) {
            throw tooLong();
        }
        removeAbandoned();
        File part = File.createTempFile(PART_PREFIX, PART_SUFFIX, folder);
        try {
            copy(content, part);
            check(part);
            synchronized (LOCK) {
                Files.move(part.toPath(), model.toPath(), StandardCopyOption.REPLACE_EXISTING);
            }
        } finally {
            Files.deleteIfExists(part.toPath());
        }
    }

    private void copy(InputStream content, File part) throws IOException {
        byte[] block = new byte[1 << 16];
        long bytes = 0;
        try (OutputStream output = new FileOutputStream(part)) {
            for (int read = content.read(block); read >= 0; read = content.read(block)) {
                bytes += read;
                if (bytes > mostBytes) { // whatever it told
                    throw tooLong();
                }
                output.write(block, 0, read);
            }
        }
    }

    /** Refuses what is no model, without the name of its copy, which nobody knows. */
    private static void check(File part) throws IOException {
        try {
            ModelFile.read(part);
        } catch (InputException error) {
            throw new InputException(error.getMessage().replace(part.getPath(), "the model"));
        }
    }

    /** Of an app that was ended while it copied. */
    private void removeAbandoned() throws IOException {
        File[] files = folder.listFiles();
        for (File file : files == null ? new File[0] : files) {
            String name = file.getName();
            boolean part = name.startsWith(PART_PREFIX) && name.endsWith(PART_SUFFIX);
            if (part && System.currentTimeMillis() - file.lastModified() > OLD_MILLIS) {
                Files.deleteIfExists(file.toPath());
            }
        }
    }

    private InputException tooLong() {
        return new InputException("a model must be of at most " + (mostBytes >> 20) + " MiB");
    }
}
