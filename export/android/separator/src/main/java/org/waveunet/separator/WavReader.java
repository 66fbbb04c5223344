package org.waveunet.separator;

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/**
 * Reads a WAV file block by block: PCM of 16, 24 and 32 bits and float of 32.
 *
 * <p>Writers that cannot seek, or die, leave the sizes open (0, those of a file without samples, or
 * about 4 or 2 GiB). Such a file is read to its end. A file that is shorter than it says is
 * refused.
 */
public final class WavReader implements AudioSource {
    private static final int BLOCK_FRAMES = 16384;
    private static final int BLOCK_BYTES = 1 << 20; // fewer frames, where they are large
    private static final int PCM = 1;
    private static final int FLOAT = 3;
    private static final int EXTENSIBLE = 0xFFFE;
    // Python's, too: about 2 GiB (GStreamer's is 0x7FFF0000, sox's 0x7FFFF000 or a frame less), or
    // just below 4 GiB (ffmpeg's).
    private static final long BELOW_POWER = 1 << 24;
    private static final long ABOVE_POWER = 1 << 16;

    private final File path;
    private final DataInputStream input;
    private int format;
    private int channels;
    private int sampleRateHz;
    private int bits;
    private long frames;
    private long gone;

    /**
     * Opens a file.
     *
     * @throws InputException it is no WAV file, a broken or truncated one, or of another format
     */
    public WavReader(File path) throws IOException {
        this.path = path;
        input = new DataInputStream(new BufferedInputStream(new FileInputStream(path), 1 << 16));
        try {
            readHeader();
        } catch (EOFException error) {
            input.close();
            throw new InputException(path + ": must be a whole WAV file, but is truncated");
        } catch (IOException error) {
            input.close();
            throw error;
        }
    }

    private void readHeader() throws IOException {
        long left = path.length();
        boolean riff = word().equals("RIFF");
        long riffSize = size();
        if (!riff || !word().equals("WAVE")) {
            throw new InputException(path + ": must be a WAV file, but has no RIFF and WAVE");
        }
        left -= 12;
        while (true) {
            String name = word();
            long size = size();
            left -= 8;
            if (name.equals("data")) {
                startData(size, left, riffSize);
                return;
            }
            if (size > left) {
                throw new EOFException();
            }
            long used = name.equals("fmt ") ? readFormat(size) : 0;
            long whole = size + (size & 1); // chunks begin at even places
            skip(Math.min(whole, left) - used);
            left -= whole;
        }
    }

    private long readFormat(long size) throws IOException {
        byte[] head = new byte[(int) Math.min(size, 40)];
        input.readFully(head);
        ByteBuffer fields = ByteBuffer.wrap(head).order(ByteOrder.LITTLE_ENDIAN);
        if (size < 16) {
            throw new InputException(path + ": its `fmt ` chunk must have 16 bytes or more");
        }
        format = Short.toUnsignedInt(fields.getShort(0));
        channels = Short.toUnsignedInt(fields.getShort(2));
        sampleRateHz = fields.getInt(4);
        int frameBytes = Short.toUnsignedInt(fields.getShort(12));
        bits = Short.toUnsignedInt(fields.getShort(14));
        if (format == EXTENSIBLE && size >= 40) {
            format = Short.toUnsignedInt(fields.getShort(24)); // the GUID's first bytes
        }
        boolean known = format == PCM && (bits == 16 || bits == 24 || bits == 32);
        if (!known && !(format == FLOAT && bits == 32)) {
            String came = "format " + format + " of " + bits + " bits";
            throw new InputException(
                    path + ": must be PCM of 16, 24 or 32 bits, or float of 32. Received: " + came);
        }
        if (channels < 1 || sampleRateHz < 1 || frameBytes != channels * bits / 8) {
            String came = channels + ", " + sampleRateHz + " Hz, " + frameBytes + " bytes";
            throw new InputException(
                    path + ": its channels, rate and frame size must agree. Received: " + came);
        }
        return head.length;
    }

    private void startData(long size, long left, long riffSize) throws IOException {
        if (channels == 0) {
            throw new InputException(path + ": must have its `fmt ` chunk before the data");
        }
        long header = path.length() - left;
        boolean open = isPlaceholder(size) || (size == 0 && riffSize + 8 <= header);
        if (size > left && !open) {
            throw new EOFException();
        }
        long bytes = size > left || (open && size == 0) ? left : size;
        frames = bytes / (channels * bits / 8);
    }

    private static boolean isPlaceholder(long size) {
        long two = 1L << 31;
        return (size >= two - BELOW_POWER && size < two + ABOVE_POWER)
                || size >= 2 * two - BELOW_POWER;
    }

    @Override
    public int sampleRateHz() {
        return sampleRateHz;
    }

    @Override
    public int channels() {
        return channels;
    }

    @Override
    public long frames() {
        return frames;
    }

    @Override
    public float[] read() throws IOException {
        int frameBytes = channels * bits / 8; // at most 65535, as the header has it too
        int most = Math.max(Math.min(BLOCK_FRAMES, BLOCK_BYTES / frameBytes), 1);
        int count = (int) Math.min(frames - gone, most);
        if (count == 0) {
            return null;
        }
        gone += count;
        byte[] bytes = new byte[count * frameBytes];
        input.readFully(bytes);
        ByteBuffer data = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        float[] samples = new float[count * channels];
        for (int i = 0; i < samples.length; i++) {
            if (format == FLOAT) {
                samples[i] = data.getFloat();
            } else if (bits == 16) {
                samples[i] = data.getShort() / 32768f;
            } else if (bits == 24) {
                int low = data.getShort() & 0xFFFF;
                samples[i] = (data.get() << 16 | low) / 8388608f;
            } else {
                samples[i] = (float) (data.getInt() / 2147483648.0);
            }
        }
        return samples;
    }

    @Override
    public void close() throws IOException {
        input.close();
    }

    private String word() throws IOException {
        byte[] read = new byte[4];
        input.readFully(read);
        return new String(read, StandardCharsets.ISO_8859_1);
    }

    private long size() throws IOException {
        return Integer.toUnsignedLong(Integer.reverseBytes(input.readInt()));
    }

    private void skip(long bytes) throws IOException {
        for (long left = bytes; left > 0; ) {
            int skipped = input.skipBytes((int) Math.min(left, 1 << 20));
            if (skipped == 0) {
                throw new EOFException();
            }
            left -= skipped;
        }
    }
}
