package org.waveunet.separator;

import java.util.concurrent.CancellationException;
import java.util.function.BooleanSupplier;
import java.util.function.LongSupplier;

/** How long to wait for something that moves in steps, such as a decoder, and whether to. */
public final class Patience {
    private final String complaint;
    private final long mostNanos;
    private final BooleanSupplier cancelled;
    private final LongSupplier clockNanos;
    private long movedNanos;

    /**
     * Begins to wait.
     *
     * @param complaint what to say when nothing has moved for so long
     * @param mostMillis the longest time in which nothing moves
     * @param cancelled whether nobody waits any more
     */
    public Patience(String complaint, long mostMillis, BooleanSupplier cancelled) {
        // While an Android phone sleeps, this clock stands still, as a decoder does.
        this(complaint, mostMillis, cancelled, System::nanoTime);
    }

    Patience(
            String complaint, long mostMillis, BooleanSupplier cancelled, LongSupplier clockNanos) {
        this.complaint = complaint;
        mostNanos = 1_000_000 * mostMillis;
        this.cancelled = cancelled;
        this.clockNanos = clockNanos;
        movedNanos = clockNanos.getAsLong();
    }

    /**
     * Is told of every step.
     *
     * @param moved whether the step brought something
     * @throws InputException nothing has moved for too long
     * @throws CancellationException nobody waits any more
     */
    public void step(boolean moved) throws InputException {
        if (cancelled.getAsBoolean()) {
            throw new CancellationException("cancelled");
        }
        long now = clockNanos.getAsLong();
        if (moved) {
            movedNanos = now;
        } else if (now - movedNanos > mostNanos) {
            throw new InputException(complaint);
        }
    }

    /** Begins anew, after a time in which nobody waited. */
    public void restart() {
        movedNanos = clockNanos.getAsLong();
    }
}
