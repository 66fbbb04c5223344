package org.waveunet.app

import android.content.Context
import android.net.Uri
import java.io.File
import java.io.FileNotFoundException
import java.io.IOException
import org.waveunet.separator.ModelFile
import org.waveunet.separator.ModelInfo
import org.waveunet.separator.ModelStore

/** Where the app keeps its model and the last song's stems. */
class AppFiles(private val context: Context) {
    private val store = ModelStore(context.filesDir)
    val model: File = store.model

    fun stem(source: String) = File(stems(), "$source.wav")

    private fun stems() = File(context.filesDir, "stems").apply { mkdirs() }

    /** The model's metadata; null where there is none yet. */
    fun modelInfo(): ModelInfo? {
        if (!model.exists()) {
            try {
                context.assets.open(model.name).use { store.install(it, -1) }
            } catch (_: FileNotFoundException) {
                return null
            }
        }
        return ModelFile.read(model).info
    }

    /** Takes another model, if it is one. */
    fun installModel(uri: Uri) {
        val picked = context.contentResolver.openAssetFileDescriptor(uri, "r")
            ?: throw IOException("the file cannot be read")
        picked.use { file ->
            // The length is -1 (UNKNOWN_LENGTH) where the provider does not tell it.
            file.createInputStream().use { store.install(it, file.length) }
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
