import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    id("com.android.application")
    id("org.jetbrains.kotlin.android")
}

android {
    namespace = "org.waveunet.app"
    compileSdk = 35

    defaultConfig {
        applicationId = "org.waveunet.app"
        minSdk = 26 // Android 8: java.nio.file, notification channels
        targetSdk = 35
        versionCode = 1
        versionName = "0.1.0"
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }

    androidResources {
        noCompress += "tflite"
    }
}

kotlin {
    compilerOptions {
        jvmTarget.set(JvmTarget.JVM_11)
    }
}

dependencies {
    implementation(project(":separator"))
    implementation("androidx.activity:activity-ktx:1.10.1")
    implementation("androidx.work:work-runtime:2.10.0")
    // The version of ai-edge-litert in requirements.txt.
    implementation("com.google.ai.edge.litert:litert:2.1.0")
}
