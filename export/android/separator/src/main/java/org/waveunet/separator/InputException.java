package org.waveunet.separator;

import java.io.IOException;

/** A file or a song that cannot be used. The message is one line, for the user. */
public final class InputException extends IOException {
    private static final long serialVersionUID = 1L;

    public InputException(String message) {
        super(message);
    }
}
