package org.waveunet.separator;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * One song, of any rate, on its way through a network.
 *
 * <p>What comes out has the song's rate and length:
 *
 * <pre>
 * blocks → network's rate → network, in chunks or windows → song's rate → stems
 * </pre>
 */
public final class SongStream {
    private static final int MAX_RATE_HZ = 10_000_000; // Python's, too
    private static final int PIECE_FRAMES = 65536; // at the network's rate

    /** Channels of the stems: those of the song, or 1 of a mono network. */
    public final int channels;

    private final ModelInfo info;
    private final StreamingSeparator separator;
    private final int songChannels;
    // A song of a low rate becomes many more frames at the network's; it goes there in pieces.
    private final int pieceFrames;
    private final Resampler toNetwork;
    private final Resampler[] fromNetwork;
    // With a difference output the last source is made here, at the song's own rate, so that the
    // stems add up to the song.
    private final FrameQueue song;
    private long frames;

    /**
     * Starts a song.
     *
     * @param separator of the model; is reset
     * @param sampleRateHz the song's sample rate
     * @param channels the song's channels, 1 or 2
     * @throws InputException the rate or the channels are out of range
     */
    public SongStream(ModelInfo info, StreamingSeparator separator, int sampleRateHz, int channels)
            throws InputException {
        if (sampleRateHz < 1 || sampleRateHz > MAX_RATE_HZ) {
            throw new InputException(
                    "sample rate must be from 1 to "
                            + MAX_RATE_HZ
                            + " Hz. Received: "
                            + sampleRateHz);
        }
        if (channels != 1 && channels != 2) {
            throw new InputException(
                    "audio must have 1 or 2 channels. Received: " + channels + " channels");
        }
        this.info = info;
        this.separator = separator;
        this.channels = Math.min(channels, info.channels);
        songChannels = channels;
        separator.reset();
        toNetwork = new Resampler(sampleRateHz, info.sampleRateHz, info.channels);
        int resampled = info.sources.size() - (info.difference ? 1 : 0);
        fromNetwork = new Resampler[resampled];
        for (int i = 0; i < resampled; i++) {
            fromNetwork[i] = new Resampler(info.sampleRateHz, sampleRateHz, this.channels);
        }
        song = new FrameQueue(this.channels);
        pieceFrames = (int) Math.max((long) PIECE_FRAMES * sampleRateHz / info.sampleRateHz, 1);
    }

    /**
     * Takes the song's next frames.
     *
     * @param samples interleaved, full scale ±1, any number of frames
     * @return for each source, in the order of the model's, the next frames that are ready
     * @throws InputException a sample, of the song or of the model, is no finite number
     */
    public float[][] push(float[] samples) throws IOException {
        for (int i = 0; i < samples.length; i++) {
            if (Float.isNaN(samples[i]) || Float.isInfinite(samples[i])) {
                throw new InputException(
                        "song must hold finite samples. Received: NaN or infinity in frame "
                                + (frames + i / songChannels));
            }
        }
        int came = samples.length / songChannels;
        if (came <= pieceFrames) {
            return pushPiece(samples, came);
        }
        List<float[][]> pieces = new ArrayList<>();
        for (int at = 0; at < came; at += pieceFrames) {
            int end = Math.min(came - at, pieceFrames) + at;
            float[] piece = Arrays.copyOfRange(samples, at * songChannels, end * songChannels);
            pieces.add(pushPiece(piece, end - at));
        }
        float[][] stems = new float[info.sources.size()][];
        for (int i = 0; i < stems.length; i++) {
            float[][] parts = new float[pieces.size()][];
            for (int piece = 0; piece < parts.length; piece++) {
                parts[piece] = pieces.get(piece)[i];
            }
            stems[i] = joined(parts);
        }
        return stems;
    }

    private float[][] pushPiece(float[] samples, int came) throws IOException {
        frames += came;
        if (info.difference) {
            song.put(Channels.convert(samples, songChannels, channels), 0, came);
        }
        float[] mixture = Channels.convert(samples, songChannels, info.channels);
        float[][] separated = separator.push(toNetwork.push(mixture));
        float[][] stems = new float[info.sources.size()][];
        for (int i = 0; i < fromNetwork.length; i++) {
            stems[i] = fromNetwork[i].push(own(separated[i]));
        }
        return withDifference(stems);
    }

    /** Ends the song; gives the rest of each source. */
    public float[][] finish() throws IOException {
        float[][] pushed = separator.push(toNetwork.finish());
        float[][] rest = separator.finish();
        float[][] stems = new float[info.sources.size()][];
        for (int i = 0; i < fromNetwork.length; i++) {
            float[] first = fromNetwork[i].push(own(pushed[i]));
            float[] second = fromNetwork[i].push(own(rest[i]));
            stems[i] = joined(first, second, fromNetwork[i].finish(frames));
        }
        return withDifference(stems);
    }

    private float[] own(float[] stem) {
        return Channels.convert(stem, info.channels, channels);
    }

    private float[][] withDifference(float[][] stems) {
        if (info.difference) {
            float[] last = song.take(stems[0].length / channels);
            for (int at = 0; at < last.length; at++) {
                float others = 0;
                for (int i = 0; i < fromNetwork.length; i++) {
                    others += stems[i][at];
                }
                last[at] -= others;
            }
            stems[fromNetwork.length] = last;
        }
        return stems;
    }

    static float[] joined(float[]... parts) {
        int length = 0;
        for (float[] part : parts) {
            length += part.length;
        }
        float[] joined = new float[length];
        length = 0;
        for (float[] part : parts) {
            System.arraycopy(part, 0, joined, length, part.length);
            length += part.length;
        }
        return joined;
    }
}
