package org.waveunet.app

import android.Manifest
import android.content.ActivityNotFoundException
import android.content.Intent
import android.media.MediaPlayer
import android.net.Uri
import android.os.Build
import android.os.Bundle
import android.util.Log
import android.view.View
import android.widget.Button
import android.widget.LinearLayout
import android.widget.ProgressBar
import android.widget.TextView
import android.widget.Toast
import androidx.activity.ComponentActivity
import androidx.activity.result.contract.ActivityResultContracts
import androidx.work.WorkInfo
import androidx.work.WorkManager
import java.io.IOException
import kotlin.concurrent.thread
import org.waveunet.separator.ModelInfo

/** The one screen: a model, a song, how far it is, and its stems to hear and to save. */
class MainActivity : ComponentActivity() {
    private lateinit var files: AppFiles
    private var model: ModelInfo? = null
    private var work: WorkInfo? = null
    private var player: MediaPlayer? = null
    private var playButton: Button? = null
    private var saving: String? = null

    private val pickModel =
        registerForActivityResult(ActivityResultContracts.OpenDocument()) { uri ->
            if (uri != null) inBackground({ files.installModel(uri) }, ::loadModel)
        }

    private val pickSong =
        registerForActivityResult(ActivityResultContracts.OpenDocument()) { uri ->
            if (uri != null) startSong(uri)
        }

    private val save =
        registerForActivityResult(ActivityResultContracts.CreateDocument("audio/wav")) { uri ->
            val source = saving
            if (uri != null && source != null) {
                inBackground({ files.save(source, uri) }) { show(getString(R.string.saved)) }
            }
        }

    private val allowNotifications =
        registerForActivityResult(ActivityResultContracts.RequestPermission()) {}

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.main)
        files = AppFiles(applicationContext)
        saving = savedInstanceState?.getString(SAVING)
        findViewById<Button>(R.id.pick_model).setOnClickListener {
            choose { pickModel.launch(arrayOf("*/*")) }
        }
        findViewById<Button>(R.id.pick_song).setOnClickListener {
            choose { pickSong.launch(arrayOf("audio/*", "video/*", "application/ogg")) }
        }
        val manager = WorkManager.getInstance(this)
        findViewById<Button>(R.id.cancel).setOnClickListener {
            manager.cancelUniqueWork(SeparationWorker.WORK)
        }
        manager.getWorkInfosForUniqueWorkLiveData(SeparationWorker.WORK).observe(this) { works ->
            work = works.lastOrNull()
            showWork(work)
        }
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
            allowNotifications.launch(Manifest.permission.POST_NOTIFICATIONS)
        }
        loadModel()
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        outState.putString(SAVING, saving)
    }

    override fun onStop() {
        super.onStop()
        stopPlaying()
    }

    private fun loadModel() {
        var info: ModelInfo? = null
        inBackground({ info = files.modelInfo() }) {
            model = info
            findViewById<TextView>(R.id.model).text =
                info?.let { getString(R.string.model, it.sources.joinToString(), it.sampleRateHz) }
                    ?: getString(R.string.no_model)
            showWork(work)
        }
    }

    private fun startSong(uri: Uri) {
        stopPlaying()
        inBackground({ keepReadable(uri) }) { SeparationWorker.start(applicationContext, uri) }
    }

    /** So that the worker may read it after this screen is gone; the last song's is given back. */
    private fun keepReadable(uri: Uri) {
        val read = Intent.FLAG_GRANT_READ_URI_PERMISSION
        try {
            for (kept in contentResolver.persistedUriPermissions.filter { it.isReadPermission }) {
                contentResolver.releasePersistableUriPermission(kept.uri, read)
            }
            contentResolver.takePersistableUriPermission(uri, read)
        } catch (error: SecurityException) {
            // Not every provider grants it. The song may be read as long as this screen is there;
            // where it may not, the worker says so.
            Log.w(TAG, "the song may only be read for now", error)
        }
    }

    private fun showWork(work: WorkInfo?) {
        val running = work != null && !work.state.isFinished
        val percent = work?.progress?.getInt(SeparationWorker.PERCENT, 0) ?: 0
        findViewById<View>(R.id.pick_model).isEnabled = !running
        findViewById<View>(R.id.pick_song).isEnabled = !running && model != null
        findViewById<View>(R.id.cancel).visibility = if (running) View.VISIBLE else View.GONE
        findViewById<ProgressBar>(R.id.progress).apply {
            visibility = if (running) View.VISIBLE else View.GONE
            isIndeterminate = percent == 0
            progress = percent
        }
        findViewById<TextView>(R.id.status).text = when (work?.state) {
            null -> ""
            WorkInfo.State.SUCCEEDED -> {
                val clipped = work.outputData.getLong(SeparationWorker.CLIPPED, 0)
                if (clipped == 0L) {
                    getString(R.string.separated)
                } else {
                    getString(R.string.clipped, clipped)
                }
            }
            WorkInfo.State.CANCELLED -> getString(R.string.cancelled)
            WorkInfo.State.FAILED ->
                getString(R.string.failed, work.outputData.getString(SeparationWorker.ERROR))
            else -> getString(R.string.separating_percent, percent)
        }
        showStems(if (running) emptyList() else model?.sources.orEmpty())
    }

    private fun showStems(sources: List<String>) {
        val list = findViewById<LinearLayout>(R.id.stems)
        list.removeAllViews()
        for (source in sources.filter { files.stem(it).exists() }) {
            val row = layoutInflater.inflate(R.layout.stem, list, false)
            row.findViewById<TextView>(R.id.name).text = source
            row.findViewById<Button>(R.id.play).setOnClickListener { play(source, it as Button) }
            row.findViewById<Button>(R.id.save).setOnClickListener {
                saving = source
                choose { save.launch("$source.wav") }
            }
            list.addView(row)
        }
    }

    /** Plays a stem; where it plays already, stops it. */
    private fun play(source: String, button: Button) {
        val same = button == playButton
        stopPlaying()
        if (same) return
        val new = MediaPlayer()
        player = new
        try {
            new.setDataSource(files.stem(source).path)
            new.setOnCompletionListener { stopPlaying() }
            new.prepare()
            new.start()
            playButton = button.apply { setText(R.string.stop) }
        } catch (error: IOException) {
            stopPlaying()
            show(reasonOf(error))
        } catch (error: RuntimeException) {
            stopPlaying()
            show(reasonOf(error))
        }
    }

    private fun stopPlaying() {
        player?.release()
        player = null
        playButton?.setText(R.string.play)
        playButton = null
    }

    /** Opens one of the phone's own screens, which a phone may lack. */
    private fun choose(open: () -> Unit) =
        try {
            open()
        } catch (error: ActivityNotFoundException) {
            show(reasonOf(error))
        }

    /**
     * Does what takes long; then, back here, shows what came of it. What fails there is told, of
     * whatever kind it is: a file's provider is another app, whose exceptions come here.
     */
    private fun inBackground(action: () -> Unit, done: () -> Unit) {
        thread {
            val failed = try {
                action()
                null
            } catch (error: Exception) {
                reasonOf(error)
            } catch (error: OutOfMemoryError) {
                reasonOf(error)
            }
            runOnUiThread { if (failed == null) done() else show(failed) }
        }
    }

    private fun reasonOf(error: Throwable) =
        getString(R.string.failed, error.message ?: error.toString())

    private fun show(text: String) = Toast.makeText(this, text, Toast.LENGTH_LONG).show()

    private companion object {
        const val SAVING = "saving"
        const val TAG = "Wave-U-Net"
    }
}
