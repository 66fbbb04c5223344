package org.waveunet.separator;

import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;

/**
 * What is read of a .tflite file that {@code waveunet export} wrote, without a runtime.
 *
 * <p>The states in which a song begins are read here too: the file has a signature
 * {@code initial_state} for that, but LiteRT's {@code Interpreter} for Java runs no signature that
 * has no inputs.
 */
public final class ModelFile {
    /** The most that a file may have; the largest of the paper's networks has 45 MiB. */
    public static final long MAX_BYTES = 1L << 30;

    private static final int FORMAT_VERSION = 2;
    private static final int MAX_METADATA_BYTES = 1 << 20;
    private static final String METADATA_NAME = "waveunet_config";
    private static final String STEP = "separate";
    private static final String INITIAL_STATE = "initial_state";
    private static final int FLOAT32 = 0;
    // The metadata is once more in a ZIP archive at the file's end; its own end is so:
    private static final int ARCHIVE_END_BYTES = 22;
    private static final int ARCHIVE_END = 0x06054b50;

    // The numbers of fields in LiteRT's schema (schema.fbs, identifier TFL3).
    private static final int MODEL_SUBGRAPHS = 2;
    private static final int MODEL_BUFFERS = 4;
    private static final int MODEL_METADATA = 6;
    private static final int MODEL_SIGNATURES = 7;
    private static final int METADATA_FIELD_NAME = 0;
    private static final int METADATA_FIELD_BUFFER = 1;
    private static final int BUFFER_DATA = 0;
    private static final int GRAPH_TENSORS = 0;
    private static final int GRAPH_OPERATORS = 3;
    private static final int TENSOR_SHAPE = 0;
    private static final int TENSOR_TYPE = 1;
    private static final int TENSOR_BUFFER = 2;
    private static final int OPERATOR_INPUTS = 1;
    private static final int OPERATOR_OUTPUTS = 2;
    private static final int SIGNATURE_INPUTS = 0;
    private static final int SIGNATURE_OUTPUTS = 1;
    private static final int SIGNATURE_KEY = 2;
    private static final int SIGNATURE_GRAPH = 4;
    private static final int ENTRY_NAME = 0;
    private static final int ENTRY_TENSOR = 1;

    /** The metadata. */
    public final ModelInfo info;
    /** Of a stream: the features of a frame of each state in which a song begins. */
    public final Map<String, float[]> silence;

    private ModelFile(FlatTable model) throws InputException {
        info = new ModelInfo(metadata(model));
        Signature step = new Signature(model, STEP);
        Map<String, Long> inputs = sizes(info.inputFrames, ModelInfo.MIXTURE);
        String[] sources = info.sources.toArray(new String[0]);
        Map<String, Long> outputs = sizes(info.outputFrames, sources);
        step.check(SIGNATURE_INPUTS, inputs);
        step.check(SIGNATURE_OUTPUTS, outputs);
        silence =
                info.states.isEmpty()
                        ? Collections.<String, float[]>emptyMap()
                        : silence(new Signature(model, INITIAL_STATE), model);
    }

    /**
     * Reads a file.
     *
     * @throws InputException it is no TFLite file, a broken one, not one of this project's, or of
     *     another format version
     * @throws IOException it cannot be read
     */
    public static ModelFile read(File path) throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(path, "r")) {
            FileChannel channel = file.getChannel();
            if (channel.size() > MAX_BYTES) {
                throw new InputException("must be a TFLite file of at most 1 GiB");
            }
            ByteBuffer content = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size());
            content.order(ByteOrder.LITTLE_ENDIAN);
            byte[] identifier = new byte[4];
            for (int i = 0; i < 4 && content.limit() >= 8; i++) {
                identifier[i] = content.get(4 + i);
            }
            if (!Arrays.equals(identifier, "TFL3".getBytes(StandardCharsets.US_ASCII))) {
                throw new InputException("must be a TFLite file, but has no TFLite identifier");
            }
            ModelFile model = new ModelFile(FlatTable.root(content));
            if (content.getInt(content.limit() - ARCHIVE_END_BYTES) != ARCHIVE_END) {
                throw new IndexOutOfBoundsException("truncated");
            }
            return model;
        } catch (InputException | IllegalArgumentException error) {
            throw new InputException(path + ": " + error.getMessage());
        } catch (IndexOutOfBoundsException | NoSuchElementException error) {
            throw new InputException(path + ": must be a whole TFLite file, but is broken");
        }
    }

    private static Map<?, ?> metadata(FlatTable model) throws InputException {
        for (FlatTable entry : model.tables(MODEL_METADATA)) {
            if (!entry.says(METADATA_FIELD_NAME, METADATA_NAME)) {
                continue;
            }
            int place = entry.number(METADATA_FIELD_BUFFER);
            FlatTable buffer = model.tables(MODEL_BUFFERS).get(place);
            if (buffer.bytes(BUFFER_DATA).remaining() > MAX_METADATA_BYTES) {
                throw new InputException("its " + METADATA_NAME + " must be of at most 1 MiB");
            }
            Object told;
            try {
                told = Json.parse(buffer.string(BUFFER_DATA));
            } catch (IllegalArgumentException error) {
                throw new InputException("its " + METADATA_NAME + " must be JSON");
            }
            Map<?, ?> values = told instanceof Map ? (Map<?, ?>) told : Collections.emptyMap();
            Object version = values.get("format_version");
            if (!Double.valueOf(FORMAT_VERSION).equals(version)) {
                throw new InputException(
                        "`format_version` must be "
                                + FORMAT_VERSION
                                + ". Received: "
                                + ModelInfo.shown(version));
            }
            return values;
        }
        throw new InputException(
                "must carry the metadata " + METADATA_NAME + ", which `waveunet export` writes");
    }

    /** Names → elements, of audio with so many frames. */
    private Map<String, Long> sizes(int frames, String... names) {
        Map<String, Long> sizes = new LinkedHashMap<>();
        for (String name : names) {
            sizes.put(name, (long) frames * info.channels);
        }
        sizes.putAll(stateSizes());
        return sizes;
    }

    private Map<String, Long> stateSizes() {
        Map<String, Long> sizes = new LinkedHashMap<>();
        for (Map.Entry<String, int[]> state : info.states.entrySet()) {
            sizes.put(state.getKey(), (long) elements(state.getValue()));
        }
        return sizes;
    }

    /**
     * The constants that {@code initial_state} repeats: each of its operators takes one frame, and
     * gives a state of nothing else.
     */
    private Map<String, float[]> silence(Signature initial, FlatTable model) throws InputException {
        initial.check(SIGNATURE_OUTPUTS, stateSizes());
        Map<Integer, Integer> frames = new LinkedHashMap<>(); // a state's tensor → its frame's
        for (String state : info.states.keySet()) {
            frames.put(initial.tensor(SIGNATURE_OUTPUTS, state), null);
        }
        for (FlatTable operator : initial.graph.tables(GRAPH_OPERATORS)) {
            int output = operator.numbers(OPERATOR_OUTPUTS).get(0);
            if (frames.containsKey(output)) {
                frames.put(output, operator.numbers(OPERATOR_INPUTS).get(0));
            }
        }
        Map<String, float[]> silence = new LinkedHashMap<>();
        for (Map.Entry<String, int[]> state : info.states.entrySet()) {
            Integer tensor = frames.get(initial.tensor(SIGNATURE_OUTPUTS, state.getKey()));
            int[] shape = state.getValue();
            ByteBuffer data = ByteBuffer.allocate(0);
            if (tensor != null) {
                int buffer = initial.tensors.get(tensor).number(TENSOR_BUFFER);
                data = model.tables(MODEL_BUFFERS).get(buffer).bytes(BUFFER_DATA);
            }
            // Before the array is made: the metadata may tell of more than the file has.
            if (data.remaining() != 4L * shape[shape.length - 1]) {
                throw new InputException(
                        "its " + INITIAL_STATE + " must repeat a frame of " + state.getKey());
            }
            float[] features = new float[shape[shape.length - 1]];
            data.asFloatBuffer().get(features);
            silence.put(state.getKey(), features);
        }
        return Collections.unmodifiableMap(silence);
    }

    /** Of a shape of the metadata, of which ModelInfo has checked the size. */
    static int elements(int[] shape) {
        int elements = 1;
        for (int size : shape) {
            elements *= size;
        }
        return elements;
    }

    /** Whether a tensor's shape has so many elements; no product can overflow. */
    private static boolean isOf(List<Integer> shape, long elements) {
        long product = 1;
        for (int size : shape) {
            product *= size;
            if (size < 1 || product > elements) {
                return false;
            }
        }
        return product == elements;
    }

    /** A function of the file: arrays by name. */
    private static final class Signature {
        final FlatTable graph;
        final List<FlatTable> tensors;
        private final FlatTable table;

        Signature(FlatTable model, String key) throws InputException {
            FlatTable found = null;
            for (FlatTable signature : model.tables(MODEL_SIGNATURES)) {
                found = signature.says(SIGNATURE_KEY, key) ? signature : found;
            }
            if (found == null) {
                throw new InputException("must have the signature " + key);
            }
            table = found;
            graph = model.tables(MODEL_SUBGRAPHS).get(table.number(SIGNATURE_GRAPH));
            tensors = graph.tables(GRAPH_TENSORS);
        }

        int tensor(int way, String name) throws InputException {
            for (FlatTable entry : table.tables(way)) {
                if (entry.says(ENTRY_NAME, name)) {
                    return entry.number(ENTRY_TENSOR);
                }
            }
            throw new InputException("its signatures must have the array " + name);
        }

        /** Refuses other arrays than those that the metadata tells. */
        void check(int way, Map<String, Long> sizes) throws InputException {
            for (Map.Entry<String, Long> array : sizes.entrySet()) {
                FlatTable tensor = tensors.get(tensor(way, array.getKey()));
                boolean fits = isOf(tensor.numbers(TENSOR_SHAPE), array.getValue());
                if (!fits || tensor.small(TENSOR_TYPE) != FLOAT32) {
                    throw new InputException(
                            "its arrays must be those that its metadata tells, but "
                                    + array.getKey()
                                    + " is not");
                }
            }
            if (table.tables(way).size() != sizes.size()) {
                throw new InputException("its arrays must be those that its metadata tells");
            }
        }
    }
}
