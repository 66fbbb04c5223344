package org.waveunet.separator;

import java.io.IOException;
import java.util.concurrent.CancellationException;

public final class PatienceTest {
    private PatienceTest() {}

    public static void whatMovesIsWaitedForAsLongAsItDoes() throws IOException {
        long[] millis = {Long.MAX_VALUE / 1_000_000};
        Patience patience = patience(millis, new boolean[1]);
        for (int i = 0; i < 50; i++) {
            millis[0] += 999;
            patience.step(i % 2 == 1 || i % 3 == 0);
            millis[0] += 1;
            patience.step(true);
        }
    }

    public static void whatStandsStillIsRefusedAfterItsTime() throws IOException {
        long[] millis = {-5};
        Patience patience = patience(millis, new boolean[1]);
        millis[0] += 600;
        patience.step(true);
        for (int i = 0; i < 10; i++) {
            millis[0] += 100;
            patience.step(false);
        }
        millis[0] += 1;
        TestRunner.checkRefused("nothing came", () -> patience.step(false));
        patience.restart();
        patience.step(false);
    }

    public static void whoCancelsWaitsNoMore() throws IOException {
        boolean[] cancelled = {false};
        Patience patience = patience(new long[1], cancelled);
        patience.step(false);
        cancelled[0] = true;
        for (boolean moved : new boolean[] {false, true}) {
            boolean left = false;
            try {
                patience.step(moved);
            } catch (CancellationException error) {
                left = true;
            }
            TestRunner.check(left, "must be cancelled");
        }
    }

    private static Patience patience(long[] millis, boolean[] cancelled) {
        return new Patience(
                "nothing came", 1000, () -> cancelled[0], () -> 1_000_000 * millis[0]);
    }
}
