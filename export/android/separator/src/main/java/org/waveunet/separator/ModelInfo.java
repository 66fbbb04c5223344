package org.waveunet.separator;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What an exported file tells about itself; {@link ModelFile#read} gives one.
 *
 * <p>A stream's file takes {@code chunkFrames} of the mixture and its states, and gives every
 * source, {@code latencyFrames} late, and the states for the next call. A window's file takes
 * {@code inputFrames} of the mixture, of which {@code contextFrames} are before what it gives, and
 * moves on by {@code chunkFrames}.
 */
public final class ModelInfo {
    static final String MIXTURE = "mixture";
    // The highest of a network, and the most names, in Python too.
    private static final int MAX_RATE_HZ = 1_000_000;
    private static final int MAX_SOURCES = 64;
    private static final int MAX_STATES = 1024;
    private static final int MAX_FRAMES = 1 << 26;
    private static final int MAX_ELEMENTS = 1 << 28; // of all arrays: 1 GiB
    private static final int MAX_SHOWN = 60;

    /** The network's sample rate in Hz. */
    public final int sampleRateHz;
    /** 1 or 2, of the network. */
    public final int channels;
    /** The names of the stems. */
    public final List<String> sources;
    /** Frames of each source that a call gives and keeps. */
    public final int chunkFrames;
    /** Frames of the mixture that a call takes. */
    public final int inputFrames;
    /** Frames of each source that a call gives; of a window some more than it keeps. */
    public final int outputFrames;
    /** Of a stream: how far its sources lag behind the mixture; of a window 0. */
    public final int latencyFrames;
    /** Of a window: frames of silence before the song; of a stream 0. */
    public final int contextFrames;
    /** Whether the last source is what the others leave of the song. */
    public final boolean difference;
    /** Of a stream: the names of the states, and their shapes. */
    public final Map<String, int[]> states;

    private final Map<?, ?> told;

    /** Takes the metadata; an IllegalArgumentException tells what is wrong with it. */
    ModelInfo(Map<?, ?> told) {
        this.told = told;
        boolean window = isWindow();
        sampleRateHz = number("sample_rate_hz", 1, MAX_RATE_HZ);
        channels = number("channels", 1, 2);
        sources = names();
        chunkFrames = number("chunk_frames", 1, MAX_FRAMES);
        inputFrames = window ? number("input_frames", chunkFrames, MAX_FRAMES) : chunkFrames;
        outputFrames = window ? number("output_frames", chunkFrames, inputFrames) : chunkFrames;
        latencyFrames = window ? 0 : number("latency_frames", 0, MAX_FRAMES);
        contextFrames = window ? number("context_frames", 0, inputFrames - outputFrames) : 0;
        Map<?, ?> network = network();
        difference = "difference".equals(network.get("output_type"));
        if (difference && sources.size() < 2) {
            throw wrong("sources", "at least two, of a difference output", sources);
        }
        states = shapes();
        checkNames();
        checkSize();
    }

    /** What the metadata tells twice must be told alike, as Python and the browser demand too. */
    private Map<?, ?> network() {
        Object network = told.get("network");
        if (!(network instanceof Map)) {
            throw wrong("network", "an object", network);
        }
        for (String name : new String[] {"sample_rate_hz", "channels", "sources"}) {
            Object own = ((Map<?, ?>) network).get(name);
            if (!told.get(name).equals(own)) {
                throw wrong(name, "that of its network", told.get(name));
            }
        }
        return (Map<?, ?>) network;
    }

    private void checkNames() {
        Set<String> names = new HashSet<>(sources);
        names.add(MIXTURE);
        for (String state : states.keySet()) {
            if (!names.add(state)) {
                throw wrong("states", "names that differ", state);
            }
        }
    }

    /** States are there twice: as they come, and as they go. */
    private void checkSize() {
        long elements = (long) inputFrames * channels;
        elements += (long) outputFrames * channels * sources.size();
        for (int[] shape : states.values()) {
            elements += 2L * ModelFile.elements(shape);
        }
        if (elements > MAX_ELEMENTS) {
            String bytes = 4 * elements + " bytes";
            throw wrong("states", "arrays of at most 1 GiB, with the audio", bytes);
        }
    }

    private boolean isWindow() {
        Object mode = told.get("mode");
        if (!"streaming".equals(mode) && !"window".equals(mode)) {
            throw wrong("mode", "streaming or window", mode);
        }
        return "window".equals(mode);
    }

    private int number(String name, int lowest, int highest) {
        return number(name, told.get(name), lowest, highest);
    }

    private static int number(String name, Object value, int lowest, int highest) {
        double number = value instanceof Double ? (Double) value : Double.NaN;
        if (number != Math.rint(number) || !(number >= lowest && number <= highest)) {
            throw wrong(name, "a whole number from " + lowest + " to " + highest, value);
        }
        return (int) number;
    }

    private List<String> names() {
        List<String> names = new ArrayList<>();
        for (Object name : list("sources")) {
            // They become names of files.
            if (!(name instanceof String) || !((String) name).matches("[A-Za-z0-9_-]+")) {
                throw wrong("sources", "names of letters, digits, _ and -", name);
            }
            if (names.contains(name) || name.equals(MIXTURE)) {
                throw wrong("sources", "names that differ", name);
            }
            names.add((String) name);
        }
        if (names.isEmpty() || names.size() > MAX_SOURCES) {
            throw wrong("sources", "from one to " + MAX_SOURCES + " names", names);
        }
        return Collections.unmodifiableList(names);
    }

    private Map<String, int[]> shapes() {
        Map<String, int[]> shapes = new LinkedHashMap<>();
        if (list("states").size() > MAX_STATES) {
            throw wrong("states", "at most " + MAX_STATES + " states", list("states").size());
        }
        for (Object state : list("states")) {
            Map<?, ?> entry = state instanceof Map ? (Map<?, ?>) state : Collections.emptyMap();
            Object name = entry.get("name");
            Object sizes = entry.get("shape");
            if (!(name instanceof String) || !(sizes instanceof List)) {
                throw wrong("states", "names and shapes", state);
            }
            int[] shape = new int[((List<?>) sizes).size()];
            long elements = 1;
            for (int axis = 0; axis < shape.length; axis++) {
                shape[axis] = number("states", ((List<?>) sizes).get(axis), 1, MAX_ELEMENTS);
                elements *= shape[axis];
                if (elements > MAX_ELEMENTS) {
                    throw wrong("states", "arrays of at most 1 GiB", name);
                }
            }
            if (shapes.put((String) name, shape) != null) {
                throw wrong("states", "names that differ", name);
            }
        }
        return Collections.unmodifiableMap(shapes);
    }

    private List<?> list(String name) {
        Object value = told.get(name);
        if (!(value instanceof List)) {
            throw wrong(name, "a list", value);
        }
        return (List<?>) value;
    }

    private static IllegalArgumentException wrong(String name, String rule, Object came) {
        return new IllegalArgumentException(
                "its `" + name + "` must be " + rule + ". Received: " + shown(came));
    }

    /** What came, for a message of one short line. */
    static String shown(Object came) {
        String text = String.valueOf(came);
        text = text.length() > MAX_SHOWN ? text.substring(0, MAX_SHOWN) + "…" : text;
        return text.replaceAll("[\\p{Cntrl}\\u0085\\u2028\\u2029]", "?");
    }
}
