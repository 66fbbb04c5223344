package org.waveunet.separator;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.AbstractList;
import java.util.List;

/**
 * A table of a flatbuffer, of which a field is known by its number in the schema.
 *
 * <p>Every read is checked against the buffer's end: an IndexOutOfBoundsException or an
 * IllegalArgumentException tells of a broken file. The format:
 * https://flatbuffers.dev/internals/
 */
final class FlatTable {
    private final ByteBuffer file;
    private final int start;
    private final int fields;
    private final int fieldBytes;

    private FlatTable(ByteBuffer file, int start) {
        this.file = file;
        this.start = start;
        fields = start - file.getInt(start);
        fieldBytes = Short.toUnsignedInt(file.getShort(fields));
    }

    /** The root of a little-endian file. */
    static FlatTable root(ByteBuffer file) {
        return new FlatTable(file, follow(file, 0));
    }

    /** An unsigned 32-bit number, 0 where it is left out. */
    int number(int field) {
        int place = place(field);
        return place == 0 ? 0 : file.getInt(place);
    }

    /** A byte, 0 where it is left out. */
    int small(int field) {
        int place = place(field);
        return place == 0 ? 0 : file.get(place);
    }

    /** Whether a string is this one; a longer one is not read. */
    boolean says(int field, String wanted) {
        ByteBuffer bytes = bytes(field);
        return bytes.equals(ByteBuffer.wrap(wanted.getBytes(StandardCharsets.UTF_8)));
    }

    String string(int field) {
        ByteBuffer bytes = bytes(field);
        byte[] read = new byte[bytes.remaining()];
        bytes.get(read);
        return new String(read, StandardCharsets.UTF_8);
    }

    /** The bytes of a vector of bytes, or of a string; none where it is left out. */
    ByteBuffer bytes(int field) {
        int vector = vector(field);
        int length = vector == 0 ? 0 : length(vector, 1);
        ByteBuffer view = file.duplicate();
        view.limit(vector + 4 * Integer.signum(vector) + length);
        view.position(view.limit() - length);
        return view.slice().order(file.order());
    }

    /** A vector of numbers, which are read when they are asked for. */
    List<Integer> numbers(int field) {
        return new Vector<Integer>(field) {
            @Override
            Integer at(int place) {
                return file.getInt(place);
            }
        };
    }

    /** A vector of tables, which are read when they are asked for. */
    List<FlatTable> tables(int field) {
        return new Vector<FlatTable>(field) {
            @Override
            FlatTable at(int place) {
                return new FlatTable(file, follow(file, place));
            }
        };
    }

    /** Elements of four bytes; takes no memory, however long the file says that it is. */
    private abstract class Vector<T> extends AbstractList<T> {
        private final int begin;
        private final int length;

        Vector(int field) {
            int vector = vector(field);
            begin = vector + 4;
            length = vector == 0 ? 0 : length(vector, 4);
        }

        abstract T at(int place);

        @Override
        public T get(int index) {
            if (index < 0 || index >= length) {
                throw new IndexOutOfBoundsException("an element beyond the vector's end");
            }
            return at(begin + 4 * index);
        }

        @Override
        public int size() {
            return length;
        }
    }

    private int place(int field) {
        int entry = 4 + 2 * field;
        if (entry + 2 > fieldBytes) {
            return 0;
        }
        int offset = Short.toUnsignedInt(file.getShort(fields + entry));
        return offset == 0 ? 0 : start + offset;
    }

    private int vector(int field) {
        int place = place(field);
        return place == 0 ? 0 : follow(file, place);
    }

    private int length(int vector, int elementBytes) {
        int length = file.getInt(vector);
        if (length < 0 || length > (file.limit() - vector - 4) / elementBytes) {
            throw new IndexOutOfBoundsException("a vector beyond the file's end");
        }
        return length;
    }

    private static int follow(ByteBuffer file, int place) {
        int target = place + file.getInt(place);
        if (target <= place) {
            throw new IndexOutOfBoundsException("an offset beyond the file's end");
        }
        return target;
    }
}
