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

/**
 * What is read of a .tflite file that {@code waveunet export} wrote, without a runtime.
 *
 * <p>The states in which a song begins are read here too: the file has a signature
 * {@code initial_state} for that, but LiteRT's {@code Interpreter} for Java runs no signature that
 * has no inputs.
 */
public final class ModelFile {
    private static final int FORMAT_VERSION = 2;
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
        Map<String, Integer> inputs = sizes(info.inputFrames, ModelInfo.MIXTURE);
        String[] sources = info.sources.toArray(new String[0]);
        Map<String, Integer> outputs = sizes(info.outputFrames, sources);
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
        } catch (IndexOutOfBoundsException error) {
            throw new InputException(path + ": must be a whole TFLite file, but is broken");
        }
    }

    private static Map<?, ?> metadata(FlatTable model) throws InputException {
        for (FlatTable entry : model.tables(MODEL_METADATA)) {
            if (!entry.string(METADATA_FIELD_NAME).equals(METADATA_NAME)) {
                continue;
            }
            int buffer = entry.number(METADATA_FIELD_BUFFER);
            Object told;
            try {
                told = Json.parse(model.tables(MODEL_BUFFERS).get(buffer).string(BUFFER_DATA));
            } catch (IllegalArgumentException error) {
                throw new InputException("its " + METADATA_NAME + " must be JSON");
            }
            Map<?, ?> values = told instanceof Map ? (Map<?, ?>) told : Collections.emptyMap();
            Object version = values.get("format_version");
            if (!Double.valueOf(FORMAT_VERSION).equals(version)) {
                throw new InputException(
                        "`format_version` must be " + FORMAT_VERSION + ". Received: " + version);
            }
            return values;
        }
        throw new InputException(
                "must carry the metadata " + METADATA_NAME + ", which `waveunet export` writes");
    }

    /** Names → elements, of audio with so many frames. */
    private Map<String, Integer> sizes(int frames, String... names) {
        Map<String, Integer> sizes = new LinkedHashMap<>();
        for (String name : names) {
            sizes.put(name, frames * info.channels);
        }
        for (Map.Entry<String, int[]> state : info.states.entrySet()) {
            sizes.put(state.getKey(), elements(state.getValue()));
        }
        return sizes;
    }

    /**
     * The constants that {@code initial_state} repeats: each of its operators takes one frame, and
     * gives a state of nothing else.
     */
    private Map<String, float[]> silence(Signature initial, FlatTable model) throws InputException {
        Map<Integer, Integer> frames = new LinkedHashMap<>();
        for (FlatTable operator : initial.graph.tables(GRAPH_OPERATORS)) {
            int output = operator.numbers(OPERATOR_OUTPUTS)[0];
            frames.put(output, operator.numbers(OPERATOR_INPUTS)[0]);
        }
        Map<String, float[]> silence = new LinkedHashMap<>();
        for (Map.Entry<String, int[]> state : info.states.entrySet()) {
            Integer tensor = frames.get(initial.tensor(SIGNATURE_OUTPUTS, state.getKey()));
            int[] shape = state.getValue();
            float[] features = new float[shape[shape.length - 1]];
            ByteBuffer data = ByteBuffer.allocate(0);
            if (tensor != null) {
                int buffer = initial.tensors.get(tensor).number(TENSOR_BUFFER);
                data = model.tables(MODEL_BUFFERS).get(buffer).bytes(BUFFER_DATA);
            }
            if (data.remaining() != 4 * features.length) {
                throw new InputException(
                        "its " + INITIAL_STATE + " must repeat a frame of " + state.getKey());
            }
            data.asFloatBuffer().get(features);
            silence.put(state.getKey(), features);
        }
        return Collections.unmodifiableMap(silence);
    }

    static int elements(int[] shape) {
        int elements = 1;
        for (int size : shape) {
            elements *= size;
        }
        return elements;
    }

    /** A function of the file: arrays by name. */
    private static final class Signature {
        final FlatTable graph;
        final List<FlatTable> tensors;
        private final FlatTable table;

        Signature(FlatTable model, String key) throws InputException {
            FlatTable found = null;
            for (FlatTable signature : model.tables(MODEL_SIGNATURES)) {
                found = signature.string(SIGNATURE_KEY).equals(key) ? signature : found;
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
                if (entry.string(ENTRY_NAME).equals(name)) {
                    return entry.number(ENTRY_TENSOR);
                }
            }
            throw new InputException("its signatures must have the array " + name);
        }

        /** Refuses other arrays than those that the metadata tells. */
        void check(int way, Map<String, Integer> sizes) throws InputException {
            for (Map.Entry<String, Integer> array : sizes.entrySet()) {
                FlatTable tensor = tensors.get(tensor(way, array.getKey()));
                int elements = elements(tensor.numbers(TENSOR_SHAPE));
                if (elements != array.getValue() || tensor.small(TENSOR_TYPE) != FLOAT32) {
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
