package org.waveunet.app

import android.content.Context
import android.net.Uri
import java.io.File
import java.io.FileNotFoundException
import java.io.IOException
import java.io.InputStream
import org.waveunet.separator.ModelFile
import org.waveunet.separator.ModelInfo

/** Where the app keeps its model and the last song's stems. */
class AppFiles(private val context: Context) {
    val model = File(context.filesDir, "model.tflite")

    fun stem(source: String) = File(stems(), "$source.wav")

    private fun stems() = File(context.filesDir, "stems").apply { mkdirs() }

    /** The model's metadata; null where there is none yet. */
    fun modelInfo(): ModelInfo? {
        if (!model.exists()) {
            try {
                install(context.assets.open(model.name))
            } catch (_: FileNotFoundException) {
                return null
            }
        }
        return ModelFile.read(model).info
    }

    /** Takes another model, if it is one. */
    fun installModel(uri: Uri) {
        val input = context.contentResolver.openInputStream(uri)
        install(input ?: throw IOException("the file cannot be read"))
    }

    private fun install(input: InputStream) {
        val part = File(context.filesDir, "picked.tflite")
        try {
            input.use { from -> part.outputStream().use { from.copyTo(it) } }
            ModelFile.read(part)
            if (!part.renameTo(model)) throw IOException("the model cannot be kept")
        } finally {
            part.delete()
        }
    }

    /** Begins anew, lest an earlier song's stems be taken for those of this one. */
    fun emptyStems(): File = stems().apply { listFiles()?.forEach { it.delete() } }

    fun save(source: String, uri: Uri) {
        val output = context.contentResolver.openOutputStream(uri, "wt")
        (output ?: throw IOException("the file cannot be written")).use { to ->
            stem(source).inputStream().use { it.copyTo(to) }
        }
    }
}
