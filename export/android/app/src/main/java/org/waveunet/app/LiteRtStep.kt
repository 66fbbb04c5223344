package org.waveunet.app

import java.io.Closeable
import java.io.File
import java.io.IOException
import java.nio.ByteBuffer
import org.tensorflow.lite.Interpreter
import org.waveunet.separator.ModelStep

/** A model on LiteRT's Interpreter, on the CPU. */
class LiteRtStep(model: File) : ModelStep, Closeable {
    private val interpreter = refusing {
        Interpreter(model, Interpreter.Options().setNumThreads(THREADS))
    }

    override fun run(inputs: Map<String, ByteBuffer>, outputs: Map<String, ByteBuffer>) =
        refusing { interpreter.runSignature(inputs, outputs, "separate") }

    override fun close() = interpreter.close()

    private companion object {
        // The big cores of most phones; more wait for the small ones.
        const val THREADS = 2

        /** LiteRT tells what it cannot do by unchecked exceptions. */
        fun <T> refusing(action: () -> T): T =
            try {
                action()
            } catch (error: IllegalArgumentException) {
                throw IOException("LiteRT: ${error.message}", error)
            } catch (error: IllegalStateException) {
                throw IOException("LiteRT: ${error.message}", error)
            }
    }
}
