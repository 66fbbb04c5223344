plugins {
    `java-library`
}

// What Java 8 has, Android 8 has. Its tests need Python: make test-android-core runs them.
tasks.withType<JavaCompile>().configureEach {
    options.release.set(8)
    options.encoding = "UTF-8"
    options.compilerArgs.addAll(listOf("-Xlint:all,-options", "-Werror"))
}
