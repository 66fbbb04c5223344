package org.waveunet.separator;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A network over audio of its own rate and channels, that comes in blocks of any length.
 *
 * <p>As many frames come out as went in, without delay, in constant memory. Of a stream the states
 * are carried from call to call, in two sets of buffers that change their roles.
 */
public final class StreamingSeparator {
    private final ModelFile model;
    private final ModelInfo info;
    private final ModelStep step;
    private final FrameQueue queue;
    private final FrameQueue[] ready;
    private final float[] mixture;
    private final float[] stem;
    private Map<String, ByteBuffer> inputs = new LinkedHashMap<>();
    private Map<String, ByteBuffer> outputs = new LinkedHashMap<>();
    private long came;
    private long gone;
    private boolean ended;

    public StreamingSeparator(ModelFile model, ModelStep step) {
        this.model = model;
        this.step = step;
        info = model.info;
        queue = new FrameQueue(info.channels);
        ready = new FrameQueue[info.sources.size()];
        mixture = new float[info.inputFrames * info.channels];
        stem = new float[info.outputFrames * info.channels];
        inputs.put(ModelInfo.MIXTURE, buffer(mixture.length));
        for (int i = 0; i < ready.length; i++) {
            ready[i] = new FrameQueue(info.channels);
            outputs.put(info.sources.get(i), buffer(stem.length));
        }
        for (Map.Entry<String, int[]> state : info.states.entrySet()) {
            int elements = ModelFile.elements(state.getValue());
            inputs.put(state.getKey(), buffer(elements));
            outputs.put(state.getKey(), buffer(elements));
        }
        reset();
    }

    /** Goes back to a song's begin. */
    public void reset() {
        queue.clear();
        queue.putSilence(info.contextFrames);
        for (FrameQueue source : ready) {
            source.clear();
        }
        for (String name : info.states.keySet()) {
            FloatBuffer state = floats(inputs.get(name));
            while (state.hasRemaining()) {
                state.put(model.silence.get(name));
            }
        }
        came = 0;
        gone = -info.latencyFrames;
        ended = false;
    }

    /**
     * Takes the next frames.
     *
     * @param samples interleaved, full scale ±1, of the network's channels
     * @return the next frames that are ready, for each source in the order of the model's; as many
     *     of each, which may be none
     * @throws InputException the model gives NaN or infinity
     */
    public float[][] push(float[] samples) throws IOException {
        if (ended) {
            throw new IllegalStateException("a song must not go on after its end");
        }
        int frames = samples.length / info.channels;
        came += frames;
        queue.put(samples, 0, frames);
        run();
        return take(ready[0].frames());
    }

    /** Ends the song; gives the rest of each source. */
    public float[][] finish() throws IOException {
        ended = true;
        long given = Math.max(gone, 0);
        while (gone < came) {
            queue.putSilence(Math.max(info.inputFrames - queue.frames(), 0));
            run();
        }
        return take((int) (came - given));
    }

    private void run() throws IOException {
        while (queue.frames() >= info.inputFrames) {
            queue.peek(mixture, info.inputFrames);
            queue.drop(info.chunkFrames);
            floats(inputs.get(ModelInfo.MIXTURE)).put(mixture);
            rewind();
            step.run(inputs, outputs);
            rewind();
            // Of what comes before the song's first frame nothing is kept.
            int late = (int) Math.min(Math.max(-gone, 0), info.chunkFrames);
            for (int i = 0; i < ready.length; i++) {
                floats(outputs.get(info.sources.get(i))).get(stem);
                checkFinite(info.sources.get(i));
                ready[i].put(stem, late, info.chunkFrames - late);
            }
            gone += info.chunkFrames;
            for (String name : info.states.keySet()) {
                ByteBuffer before = inputs.get(name);
                inputs.put(name, outputs.get(name));
                outputs.put(name, before);
            }
        }
    }

    /** What is no number would be silence in a file of 16 bits, and stay in the states. */
    private void checkFinite(String source) throws InputException {
        for (int at = 0; at < info.chunkFrames * info.channels; at++) {
            if (Float.isNaN(stem[at]) || Float.isInfinite(stem[at])) {
                throw new InputException(
                        "the model must give finite samples. Received: NaN or infinity in "
                                + source);
            }
        }
    }

    private float[][] take(int frames) {
        float[][] stems = new float[ready.length][];
        for (int i = 0; i < ready.length; i++) {
            stems[i] = ready[i].take(frames);
        }
        return stems;
    }

    private void rewind() {
        for (ByteBuffer buffer : inputs.values()) {
            buffer.clear();
        }
        for (ByteBuffer buffer : outputs.values()) {
            buffer.clear();
        }
    }

    private static ByteBuffer buffer(int floats) {
        return ByteBuffer.allocateDirect(4 * floats).order(ByteOrder.nativeOrder());
    }

    private static FloatBuffer floats(ByteBuffer buffer) {
        buffer.clear();
        return buffer.asFloatBuffer();
    }
}
