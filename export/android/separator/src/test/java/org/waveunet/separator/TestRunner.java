package org.waveunet.separator;

import java.io.File;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;

/**
 * Runs the tests: the public static methods of the classes below that take nothing.
 *
 * <p>So that nothing but the JDK is needed. Takes the folder that export/android/golden.py wrote,
 * and the command that starts bridge.py.
 */
public final class TestRunner {
    private static final Class<?>[] TESTS = {
        JsonTest.class,
        ModelFileTest.class,
        ModelStoreTest.class,
        PatienceTest.class,
        ResamplerTest.class,
        WavTest.class,
        GoldenTest.class,
        SongSeparatorTest.class,
    };

    static File golden;
    static List<String> bridge = new ArrayList<>();

    private TestRunner() {}

    public static void main(String[] arguments) throws IllegalAccessException, IOException {
        golden = new File(arguments[0]);
        for (int i = 1; i < arguments.length; i++) {
            bridge.add(arguments[i]);
        }
        int passed = 0;
        int failed = 0;
        for (Class<?> tests : TESTS) {
            for (Method test : tests.getDeclaredMethods()) {
                int modifiers = test.getModifiers();
                if (!Modifier.isPublic(modifiers) || test.getParameterCount() > 0) {
                    continue;
                }
                try {
                    test.invoke(null);
                    passed++;
                } catch (InvocationTargetException error) {
                    failed++;
                    System.out.println("FAILED " + tests.getSimpleName() + "." + test.getName());
                    error.getCause().printStackTrace(System.out);
                }
            }
        }
        BridgeStep.closeAll();
        System.out.println(passed + " passed, " + failed + " failed");
        System.exit(failed == 0 && passed > 0 ? 0 : 1);
    }

    /** A test that needs something to be so. */
    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static void checkEqual(Object wanted, Object came) {
        check(wanted == null ? came == null : wanted.equals(came), wanted + " is not " + came);
    }

    /** All numbers, and how many there are; no difference may be larger, or no number. */
    static void checkNear(float[] wanted, float[] came, double most, String what) {
        check(wanted.length == came.length, what + ": " + wanted.length + " not " + came.length);
        for (int i = 0; i < wanted.length; i++) {
            double difference = Math.abs((double) wanted[i] - came[i]);
            check(difference <= most, what + ": differs by " + difference + " at " + i);
        }
    }

    /** What a test does, that is to be refused. */
    interface Action {
        void run() throws Exception;
    }

    /** The action is refused, in one line that holds the words. */
    static void checkRefused(String words, Action action) {
        try {
            action.run();
        } catch (InputException error) {
            String message = error.getMessage();
            check(message.contains(words), "«" + message + "» lacks «" + words + "»");
            check(!message.contains("\n"), "more than one line: " + message);
            return;
        } catch (Exception error) {
            throw new AssertionError("must be an InputException", error);
        }
        throw new AssertionError("must be refused: " + words);
    }

    /** A new empty folder, gone after the tests. */
    static File folder() throws IOException {
        File folder = Files.createTempDirectory("core").toFile();
        folder.deleteOnExit();
        return folder;
    }
}
