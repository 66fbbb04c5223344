package org.waveunet.app

import android.content.Context
import android.media.AudioFormat
import android.media.MediaCodec
import android.media.MediaExtractor
import android.media.MediaFormat
import android.net.Uri
import java.io.IOException
import java.nio.Buffer
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.concurrent.CancellationException
import org.waveunet.separator.AudioSource
import org.waveunet.separator.InputException
import org.waveunet.separator.Patience

/**
 * The first audio track of a file, decoded by the phone.
 *
 * A song that is cancelled ends in a CancellationException, also while the decoder gives nothing;
 * a decoder that gives nothing for long is given up.
 */
class DecodedSong(context: Context, uri: Uri, isCancelled: () -> Boolean) : AudioSource {
    private val patience =
        Patience("the phone's decoder gives nothing", STALL_MILLIS) { isCancelled() }
    private val extractor = MediaExtractor()
    private var codec: MediaCodec? = null
    private val info = MediaCodec.BufferInfo()
    private var fed = false
    private var ended = false

    // The decoder alone knows what comes out, and only tells it with the first block.
    private var format: MediaFormat? = null
    private var first: FloatArray? = null
    private var durationUs = -1L

    init {
        try {
            extractor.setDataSource(context, uri, null)
            open()
            first = decode()
            if (format == null) throw InputException("the song has no audio")
        } catch (error: IOException) {
            close()
            throw error
        } catch (error: CancellationException) { // a RuntimeException, too
            close()
            throw error
        } catch (error: RuntimeException) {
            close()
            throw undecodable(error)
        }
    }

    private fun undecodable(error: RuntimeException) =
        InputException("the phone cannot decode the song: ${error.message ?: error.toString()}")

    private fun open() {
        val track = (0 until extractor.trackCount).firstOrNull {
            val mime = extractor.getTrackFormat(it).getString(MediaFormat.KEY_MIME)
            mime != null && mime.startsWith("audio/")
        } ?: throw InputException("the file has no audio")
        extractor.selectTrack(track)
        val coded = extractor.getTrackFormat(track)
        if (coded.containsKey(MediaFormat.KEY_DURATION)) {
            durationUs = coded.getLong(MediaFormat.KEY_DURATION)
        }
        codec = MediaCodec.createDecoderByType(coded.getString(MediaFormat.KEY_MIME)!!).apply {
            configure(coded, null, null, 0)
            start()
        }
    }

    override fun sampleRateHz(): Int = format!!.getInteger(MediaFormat.KEY_SAMPLE_RATE)

    override fun channels(): Int = format!!.getInteger(MediaFormat.KEY_CHANNEL_COUNT)

    override fun frames(): Long =
        if (durationUs < 0) -1 else (durationUs / 1e6 * sampleRateHz()).toLong()

    override fun read(): FloatArray? =
        first?.also { first = null }
            ?: try {
                decode()
            } catch (error: CancellationException) {
                throw error
            } catch (error: RuntimeException) { // such as MediaCodec.CodecException
                throw undecodable(error)
            }

    override fun close() {
        codec?.release()
        codec = null
        extractor.release()
    }

    /** The next block that is not empty; null at the end. */
    private fun decode(): FloatArray? {
        val codec = codec ?: throw IOException("the song is closed")
        patience.restart() // the network may have taken long
        while (!ended) {
            val moved = feed(codec)
            val index = codec.dequeueOutputBuffer(info, TIMEOUT_US)
            patience.step(moved || index >= 0)
            if (index == MediaCodec.INFO_OUTPUT_FORMAT_CHANGED) {
                take(codec.outputFormat)
            } else if (index >= 0) {
                if (format == null) take(codec.getOutputFormat(index))
                ended = info.flags and MediaCodec.BUFFER_FLAG_END_OF_STREAM != 0
                val samples = codec.getOutputBuffer(index)?.let(::samples)
                codec.releaseOutputBuffer(index, false)
                if (samples != null && samples.isNotEmpty()) return samples
            }
        }
        return null
    }

    /** Hands the decoder what it has room for; tells whether it had. */
    private fun feed(codec: MediaCodec): Boolean {
        if (fed) return false
        val index = codec.dequeueInputBuffer(TIMEOUT_US)
        if (index < 0) return false
        val size = extractor.readSampleData(codec.getInputBuffer(index)!!, 0)
        if (size < 0) {
            fed = true
            codec.queueInputBuffer(index, 0, 0, 0, MediaCodec.BUFFER_FLAG_END_OF_STREAM)
        } else {
            codec.queueInputBuffer(index, 0, size, extractor.sampleTime, 0)
            extractor.advance()
        }
        return true
    }

    private fun take(new: MediaFormat) {
        val old = format
        format = new
        if (layout(new).contains(null)) {
            throw InputException("the phone's decoder does not tell the rate and the channels")
        }
        if (old != null && layout(old) != layout(new)) {
            throw InputException("the song must keep its sample rate and channels")
        }
    }

    private fun layout(format: MediaFormat) =
        KEYS.map { if (format.containsKey(it)) format.getInteger(it) else null }

    private fun samples(buffer: ByteBuffer): FloatArray {
        val bounds: Buffer = buffer // ByteBuffer's own position() is not in Android 8
        bounds.limit(info.offset + info.size)
        bounds.position(info.offset)
        val data = buffer.slice().order(ByteOrder.nativeOrder())
        val format = format!!
        val encoding =
            if (format.containsKey(MediaFormat.KEY_PCM_ENCODING)) {
                format.getInteger(MediaFormat.KEY_PCM_ENCODING)
            } else {
                AudioFormat.ENCODING_PCM_16BIT
            }
        return when (encoding) {
            AudioFormat.ENCODING_PCM_16BIT -> {
                val shorts = data.asShortBuffer()
                FloatArray(shorts.remaining()) { shorts.get() / 32768f }
            }
            AudioFormat.ENCODING_PCM_FLOAT -> {
                val floats = data.asFloatBuffer()
                FloatArray(floats.remaining()).also { floats.get(it) }
            }
            else -> throw InputException("the phone decodes to an unknown encoding, $encoding")
        }
    }

    private companion object {
        const val TIMEOUT_US = 10_000L
        const val STALL_MILLIS = 30_000L
        val KEYS = listOf(MediaFormat.KEY_SAMPLE_RATE, MediaFormat.KEY_CHANNEL_COUNT)
    }
}
