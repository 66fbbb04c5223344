package org.waveunet.app

import android.content.Context
import android.net.Uri
import android.provider.DocumentsContract
import java.io.File
import java.io.FileNotFoundException
import java.io.IOException
import org.waveunet.separator.ModelFile
import org.waveunet.separator.ModelInfo
import org.waveunet.separator.ModelStore

/** Where the app keeps its models and the last song's stems. */
class AppFiles(private val context: Context) {
    private val picked = ModelStore(context.filesDir)

    // Android empties this folder when the app is updated, which may bring another model.
    private val own = ModelStore(context.codeCacheDir)

    fun stem(source: String) = File(stems(), "$source.wav")

    private fun stems() = File(context.filesDir, "stems").apply { mkdirs() }

    /** The model that was picked last, or else the app's own; null where there is neither. */
    fun model(): File? {
        if (picked.model.exists()) return picked.model
        if (!own.model.exists()) {
            val content = try {
                context.assets.open(own.model.name)
            } catch (_: FileNotFoundException) {
                return null
            }
            content.use { own.install(it, -1) }
        }
        return own.model
    }

    /** The model's metadata; null where there is no model yet. */
    fun modelInfo(): ModelInfo? = model()?.let { ModelFile.read(it).info }

    /** Takes another model, if it is one. */
    fun installModel(uri: Uri) {
        val content = context.contentResolver.openAssetFileDescriptor(uri, "r")
            ?: throw IOException("the file cannot be read")
        content.use { file ->
            // The length is -1 (UNKNOWN_LENGTH) where the provider does not tell it.
            file.createInputStream().use { picked.install(it, file.length) }
        }
    }

    /** Begins anew, lest an earlier song's stems be taken for those of this one. */
    fun emptyStems(): File = stems().apply { listFiles()?.forEach { it.delete() } }

    /** Copies a stem into a file that was made for it; where that fails, the file goes. */
    fun save(source: String, uri: Uri) {
        val resolver = context.contentResolver
        try {
            val output = resolver.openOutputStream(uri, "wt")
            (output ?: throw IOException("the file cannot be written")).use { to ->
                stem(source).inputStream().use { it.copyTo(to) }
            }
        } catch (error: Exception) { // a provider's may be any, here and there
            runCatching { DocumentsContract.deleteDocument(resolver, uri) }
            throw error
        }
    }
}
