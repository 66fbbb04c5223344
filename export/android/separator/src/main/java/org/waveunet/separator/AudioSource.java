package org.waveunet.separator;

import java.io.Closeable;
import java.io.IOException;

/** A song that is read from its begin to its end: a WAV file, or what a phone decodes. */
public interface AudioSource extends Closeable {
    /** In Hz. */
    int sampleRateHz();

    int channels();

    /** How long the song is, as far as its container tells; -1 where it does not. */
    long frames();

    /** The next frames, interleaved, full scale ±1; null after the last. */
    float[] read() throws IOException;
}
