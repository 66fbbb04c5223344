package org.waveunet.separator;

import java.io.Closeable;
import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** Writes a WAV file block by block; its sizes are filled in at the end. */
public final class WavWriter implements Closeable {
    /** How a sample is stored. */
    public enum Encoding {
        PCM_16(1, 2),
        PCM_24(1, 3),
        FLOAT_32(3, 4);

        private final int format;
        private final int bytes;

        Encoding(int format, int bytes) {
            this.format = format;
            this.bytes = bytes;
        }
    }

    private static final int HEADER_BYTES = 58; // RIFF, `fmt ` of 18 bytes, `fact`, `data`
    private static final long MAX_BYTES = 0xFFFFFFFFL - HEADER_BYTES;

    private final File path;
    private final RandomAccessFile file;
    private final Encoding encoding;
    private final int channels;
    private final int sampleRateHz;
    private long dataBytes;
    private long clippedSamples;

    /** Starts a file; one of that name is replaced. */
    public WavWriter(File path, int sampleRateHz, int channels, Encoding encoding)
            throws IOException {
        this.path = path;
        this.sampleRateHz = sampleRateHz;
        this.channels = channels;
        this.encoding = encoding;
        file = new RandomAccessFile(path, "rw");
        try {
            file.setLength(0);
            file.write(header());
        } catch (IOException error) {
            file.close();
            throw error;
        }
    }

    /**
     * Writes frames.
     *
     * @param samples interleaved, full scale ±1; PCM is clipped and rounded to that, without dither
     * @throws InputException the file would exceed the 4 GiB that the format has
     */
    public void write(float[] samples) throws IOException {
        ByteBuffer data = ByteBuffer.allocate(samples.length * encoding.bytes);
        data.order(ByteOrder.LITTLE_ENDIAN);
        float limit = 1 << (8 * encoding.bytes - 1);
        for (float sample : samples) {
            if (encoding == Encoding.FLOAT_32) {
                data.putFloat(sample);
                continue;
            }
            clippedSamples += Math.abs(sample) > 1 ? 1 : 0;
            float clipped = Math.max(-limit, Math.min(sample * limit, limit - 1));
            int integer = (int) Math.rint(clipped);
            data.putShort((short) (encoding == Encoding.PCM_16 ? integer : integer & 0xFFFF));
            if (encoding == Encoding.PCM_24) {
                data.put((byte) (integer >> 16));
            }
        }
        dataBytes += data.position();
        if (dataBytes > MAX_BYTES) {
            throw new InputException(path + ": must be of at most 4 GiB, as a WAV file");
        }
        file.write(data.array());
    }

    /** How many samples were beyond full scale, and clipped. */
    public long clippedSamples() {
        return clippedSamples;
    }

    @Override
    public void close() throws IOException {
        try {
            if (dataBytes % 2 == 1) {
                file.write(0); // chunks end at even places
            }
            file.seek(0);
            file.write(header());
        } finally {
            file.close();
        }
    }

    private byte[] header() {
        int frameBytes = channels * encoding.bytes;
        ByteBuffer header = ByteBuffer.allocate(HEADER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        header.put("RIFF".getBytes(StandardCharsets.US_ASCII));
        header.putInt((int) (HEADER_BYTES - 8 + dataBytes + dataBytes % 2));
        header.put("WAVEfmt ".getBytes(StandardCharsets.US_ASCII));
        header.putInt(18);
        header.putShort((short) encoding.format);
        header.putShort((short) channels);
        header.putInt(sampleRateHz);
        header.putInt(sampleRateHz * frameBytes);
        header.putShort((short) frameBytes);
        header.putShort((short) (8 * encoding.bytes));
        header.putShort((short) 0);
        header.put("fact".getBytes(StandardCharsets.US_ASCII));
        header.putInt(4);
        header.putInt((int) (dataBytes / frameBytes));
        header.put("data".getBytes(StandardCharsets.US_ASCII));
        header.putInt((int) dataBytes);
        return header.array();
    }
}
