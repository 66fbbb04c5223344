package org.waveunet.separator;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Map;

/** A runtime that has loaded a model: on a phone LiteRT's Interpreter. */
public interface ModelStep {
    /**
     * Runs the signature {@code separate}.
     *
     * @param inputs name → what goes in: float32 in a direct buffer of native byte order, of the
     *     tensor's size; at its begin
     * @param outputs name → where what comes out is to be put: buffers as those of the inputs, but
     *     none of the same; their positions may be moved
     * @throws IOException it cannot be run
     */
    void run(Map<String, ByteBuffer> inputs, Map<String, ByteBuffer> outputs) throws IOException;
}
