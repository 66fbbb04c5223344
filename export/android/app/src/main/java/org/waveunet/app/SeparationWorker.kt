package org.waveunet.app

import android.app.Notification
import android.app.NotificationChannel
import android.app.NotificationManager
import android.content.Context
import android.content.pm.ServiceInfo
import android.net.Uri
import android.os.Build
import androidx.work.Data
import androidx.work.ExistingWorkPolicy
import androidx.work.ForegroundInfo
import androidx.work.OneTimeWorkRequest
import androidx.work.WorkManager
import androidx.work.Worker
import androidx.work.WorkerParameters
import java.io.IOException
import java.util.concurrent.CancellationException
import java.util.concurrent.Semaphore
import java.util.concurrent.TimeUnit
import org.waveunet.separator.ModelFile
import org.waveunet.separator.ModelStore
import org.waveunet.separator.Patience
import org.waveunet.separator.SongSeparator
import org.waveunet.separator.WavWriter

/** Separates a song in the background, with a notification that shows how far it is. */
class SeparationWorker(context: Context, parameters: WorkerParameters) :
    Worker(context, parameters), SongSeparator.Listener {

    private val files = AppFiles(context)
    private var percent = -1

    override fun doWork(): Result =
        try {
            setForegroundAsync(foreground(0))
            val clipped = alone { separate() }
            Result.success(Data.Builder().putLong(CLIPPED, clipped).build())
        } catch (_: CancellationException) {
            Result.failure()
        } catch (error: Exception) { // a provider's may be any
            failure(error)
        } catch (error: OutOfMemoryError) {
            failure(error)
        }

    /**
     * Does what only one song may do at a time. A cancelled song goes on to the end of its block;
     * where its decoder hangs, the next song says so, and does not share its files.
     */
    private fun alone(action: () -> Long): Long {
        val patience = Patience("an earlier song has not ended yet", EARLIER_MILLIS) { isStopped }
        while (!ONE_AT_A_TIME.tryAcquire(POLL_MILLIS, TimeUnit.MILLISECONDS)) {
            patience.step(false)
        }
        try {
            return action()
        } finally {
            ONE_AT_A_TIME.release()
        }
    }

    /** Writes the stems; gives how many samples were clipped. */
    private fun separate(): Long {
        val uri = Uri.parse(inputData.getString(SONG))
        val folder = files.emptyStems()
        // No other model takes its place in between.
        val (model, opened) = synchronized(ModelStore.LOCK) {
            val file = files.model() ?: throw IOException("there is no model")
            Pair(ModelFile.read(file), LiteRtStep(file))
        }
        opened.use { step ->
            DecodedSong(applicationContext, uri) { isStopped }.use { song ->
                return SongSeparator(model, step)
                    .separate(song, folder, WavWriter.Encoding.PCM_16, this)
                    .values
                    .sum()
            }
        }
    }

    private fun failure(error: Throwable): Result {
        // A Data holds 10 KB at most.
        val reason = (error.message ?: error.toString()).take(MOST_CHARACTERS)
        return Result.failure(Data.Builder().putString(ERROR, reason).build())
    }

    override fun progress(frames: Long, totalFrames: Long) {
        if (totalFrames <= 0) return
        val now = (100 * frames / totalFrames).coerceIn(0, 100).toInt()
        if (now == percent) return
        percent = now
        setProgressAsync(Data.Builder().putInt(PERCENT, now).build())
        setForegroundAsync(foreground(now))
    }

    override fun isCancelled() = isStopped

    override fun getForegroundInfo() = foreground(0)

    private fun foreground(percent: Int): ForegroundInfo {
        val context = applicationContext
        val name = context.getString(R.string.separating)
        val channel = NotificationChannel(CHANNEL, name, NotificationManager.IMPORTANCE_LOW)
        context.getSystemService(NotificationManager::class.java).createNotificationChannel(channel)
        val cancel = Notification.Action.Builder(
            null,
            context.getString(R.string.cancel),
            WorkManager.getInstance(context).createCancelPendingIntent(id),
        )
        val notification = Notification.Builder(context, CHANNEL)
            .setSmallIcon(R.drawable.stems)
            .setContentTitle(name)
            .setProgress(100, percent, percent == 0)
            .setOngoing(true)
            .setOnlyAlertOnce(true)
            .addAction(cancel.build())
            .build()
        return if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) {
            val type = ServiceInfo.FOREGROUND_SERVICE_TYPE_DATA_SYNC
            ForegroundInfo(NOTIFICATION, notification, type)
        } else {
            ForegroundInfo(NOTIFICATION, notification)
        }
    }

    companion object {
        /** The name by which the work is found; there is one at a time. */
        const val WORK = "separation"
        const val PERCENT = "percent"
        const val CLIPPED = "clipped"
        const val ERROR = "error"
        private const val SONG = "song"
        private const val CHANNEL = "separation"
        private const val NOTIFICATION = 1
        private const val EARLIER_MILLIS = 60_000L
        private const val POLL_MILLIS = 200L
        private const val MOST_CHARACTERS = 500
        private val ONE_AT_A_TIME = Semaphore(1)

        /** Begins; an earlier song that is not done yet is given up. */
        fun start(context: Context, song: Uri) {
            val request = OneTimeWorkRequest.Builder(SeparationWorker::class.java)
                .setInputData(Data.Builder().putString(SONG, song.toString()).build())
                .build()
            WorkManager.getInstance(context)
                .enqueueUniqueWork(WORK, ExistingWorkPolicy.REPLACE, request)
        }
    }
}
