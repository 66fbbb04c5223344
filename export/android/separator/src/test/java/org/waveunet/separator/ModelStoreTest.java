package org.waveunet.separator;

import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.util.Arrays;

public final class ModelStoreTest {
    private ModelStoreTest() {}

    private static File golden(String name) {
        return new File(TestRunner.golden, name);
    }

    public static void aModelTakesTheLastOnesPlace() throws IOException {
        File folder = TestRunner.folder();
        ModelStore store = new ModelStore(folder);
        TestRunner.checkEqual(false, store.model.exists());
        for (String name : new String[] {"stereo.tflite", "context.tflite"}) {
            try (InputStream content = new FileInputStream(golden(name))) {
                store.install(content, golden(name).length());
            }
            checkModel(name, store);
        }
        clear(folder, 1);
    }

    public static void whatIsNoModelLeavesTheLastOne() throws IOException {
        File folder = TestRunner.folder();
        ModelStore store = new ModelStore(folder);
        byte[] whole = Files.readAllBytes(golden("stereo.tflite").toPath());
        store.install(new ByteArrayInputStream(whole), -1);
        byte[] half = Arrays.copyOf(whole, whole.length / 2);
        TestRunner.checkRefused(
                "broken", () -> store.install(new ByteArrayInputStream(half), half.length));
        // By no name that the user does not know; a toast shows two lines at most.
        try {
            store.install(new ByteArrayInputStream(half), half.length);
        } catch (InputException error) {
            TestRunner.checkEqual(
                    "the model: must be a whole TFLite file, but is broken", error.getMessage());
        }
        checkModel("stereo.tflite", store);
        clear(folder, 1);
    }

    /** Such as a provider of files that is ended, or wrong. */
    public static void aStreamThatFailsLeavesNothing() throws IOException {
        File folder = TestRunner.folder();
        InputStream failing =
                new InputStream() {
                    private int came;

                    @Override
                    public int read() {
                        if (came++ > 100_000) {
                            throw new IllegalStateException("the provider has ended");
                        }
                        return 'x';
                    }
                };
        boolean failed = false;
        try {
            new ModelStore(folder).install(failing, -1);
        } catch (IllegalStateException error) {
            failed = true;
        }
        TestRunner.check(failed, "must fail");
        clear(folder, 0);
    }

    public static void whatIsTooLongIsRefusedBeforeItFillsThePhone() throws IOException {
        File folder = TestRunner.folder();
        ModelStore store = new ModelStore(folder, 3 << 20);
        Endless endless = new Endless();
        TestRunner.checkRefused("of at most 3 MiB", () -> store.install(endless, (3 << 20) + 1));
        TestRunner.checkEqual(0L, endless.bytes);
        for (long told : new long[] {-1, 1000}) {
            endless.bytes = 0;
            TestRunner.checkRefused("of at most 3 MiB", () -> store.install(endless, told));
            TestRunner.check(endless.bytes < 4 << 20, "read " + endless.bytes);
        }
        clear(folder, 0);
    }

    private static final class Endless extends InputStream {
        long bytes;

        @Override
        public int read() {
            bytes++;
            return 0;
        }

        @Override
        public int read(byte[] target, int offset, int length) {
            bytes += length;
            return length;
        }
    }

    /** The second is picked, and whole, while the first is still copied. */
    public static void twoPicksAtATimeDoNotMix() throws IOException {
        File folder = TestRunner.folder();
        ModelStore store = new ModelStore(folder);
        byte[] first = Files.readAllBytes(golden("stereo.tflite").toPath());
        InputStream slow =
                new ByteArrayInputStream(first) {
                    private boolean begun;

                    @Override
                    public int read(byte[] target, int offset, int length) {
                        try {
                            if (begun && !store.model.exists()) {
                                try (InputStream other =
                                        new FileInputStream(golden("context.tflite"))) {
                                    store.install(other, -1);
                                }
                                checkModel("context.tflite", store);
                            }
                        } catch (IOException error) {
                            throw new AssertionError(error);
                        }
                        begun = true;
                        return super.read(target, offset, Math.min(length, 1000));
                    }
                };
        store.install(slow, -1);
        checkModel("stereo.tflite", store);
        clear(folder, 1);
    }

    public static void whatAnEndedAppLeftIsRemovedLater() throws IOException {
        File folder = TestRunner.folder();
        File old = new File(folder, "picked-1.part");
        File fresh = new File(folder, "picked-2.part");
        File other = new File(folder, "notes.part");
        for (File file : new File[] {old, fresh, other}) {
            TestRunner.check(file.createNewFile(), "must be made");
        }
        long yesterday = System.currentTimeMillis() - 25 * 60 * 60 * 1000L;
        TestRunner.check(old.setLastModified(yesterday), "must be old");
        TestRunner.check(other.setLastModified(yesterday), "must be old");
        try (InputStream content = new FileInputStream(golden("stereo.tflite"))) {
            new ModelStore(folder).install(content, -1);
        }
        TestRunner.checkEqual(false, old.exists());
        TestRunner.checkEqual(true, fresh.exists());
        TestRunner.checkEqual(true, other.exists());
        clear(folder, 3);
    }

    private static void checkModel(String name, ModelStore store) throws IOException {
        byte[] wanted = Files.readAllBytes(golden(name).toPath());
        byte[] came = Files.readAllBytes(store.model.toPath());
        TestRunner.check(Arrays.equals(wanted, came), "must be " + name);
    }

    private static void clear(File folder, int wanted) {
        File[] files = folder.listFiles();
        TestRunner.checkEqual(wanted, files.length);
        for (File file : files) {
            TestRunner.check(file.delete(), "must be a file: " + file);
        }
    }
}
