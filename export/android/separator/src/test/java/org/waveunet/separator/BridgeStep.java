package org.waveunet.separator;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.Closeable;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A model that runs on LiteRT in a process of bridge.py, which tells the protocol. */
final class BridgeStep implements ModelStep, Closeable {
    private static final Map<File, BridgeStep> STARTED = new HashMap<>();

    private final Process process;
    private final DataOutputStream requests;
    private final DataInputStream answers;

    /** A model's process, which goes on for other tests. */
    static BridgeStep of(File model) throws IOException {
        BridgeStep step = STARTED.get(model);
        if (step == null) {
            step = new BridgeStep(model);
            STARTED.put(model, step);
        }
        return step;
    }

    static void closeAll() throws IOException {
        for (BridgeStep step : STARTED.values()) {
            step.close();
        }
    }

    private BridgeStep(File model) throws IOException {
        List<String> command = new ArrayList<>(TestRunner.bridge);
        command.add(model.getPath());
        process =
                new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        requests = new DataOutputStream(new BufferedOutputStream(process.getOutputStream()));
        answers = new DataInputStream(new BufferedInputStream(process.getInputStream()));
    }

    @Override
    public void run(Map<String, ByteBuffer> inputs, Map<String, ByteBuffer> outputs)
            throws IOException {
        write(inputs.size());
        for (Map.Entry<String, ByteBuffer> input : inputs.entrySet()) {
            write(input.getKey().getBytes(StandardCharsets.UTF_8));
            byte[] bytes = new byte[input.getValue().remaining()];
            input.getValue().get(bytes);
            write(bytes);
        }
        requests.flush();
        int count = readNumber();
        if (count < 0) {
            throw new IOException(new String(read(), StandardCharsets.UTF_8));
        }
        for (int i = 0; i < count; i++) {
            String name = new String(read(), StandardCharsets.UTF_8);
            outputs.get(name).put(read());
        }
    }

    @Override
    public void close() throws IOException {
        requests.close();
        process.destroy();
    }

    // What a native float is on these machines is little-endian, as the protocol is.
    private void write(int number) throws IOException {
        requests.writeInt(Integer.reverseBytes(number));
    }

    private void write(byte[] bytes) throws IOException {
        write(bytes.length);
        requests.write(bytes);
    }

    private int readNumber() throws IOException {
        return Integer.reverseBytes(answers.readInt());
    }

    private byte[] read() throws IOException {
        byte[] bytes = new byte[readNumber()];
        answers.readFully(bytes);
        return bytes;
    }
}
