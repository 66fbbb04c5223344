package org.waveunet.separator;

import java.util.Arrays;
import java.util.Collections;
import java.util.Map;

public final class JsonTest {
    private JsonTest() {}

    public static void allKindsOfValuesAreRead() {
        Map<?, ?> read =
                (Map<?, ?>)
                        Json.parse(
                                " {\"a\": [1, -2.5e-3, true, false, null],\n \"b\": {}, \"c\": [],"
                                        + " \"d\": \"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9é\"} ");
        TestRunner.checkEqual(Arrays.asList(1.0, -2.5e-3, true, false, null), read.get("a"));
        TestRunner.checkEqual(Collections.emptyMap(), read.get("b"));
        TestRunner.checkEqual(Collections.emptyList(), read.get("c"));
        TestRunner.checkEqual("\"\\/\b\f\n\r\téé", read.get("d"));
    }

    public static void whatIsNoJsonIsRefused() {
        String deep = String.join("", Collections.nCopies(1000, "["));
        for (String text :
                new String[] {
                    "", " ", "{", "[1", "[1,]", "{\"a\" 1}", "{a: 1}", "01", "1.", "+1", "NaN",
                    "tru", "\"", "\"\\x\"", "\"\\u12g4\"", "\"\\u12", "\"a\nb\"", "1 2", "-", deep
                }) {
            boolean refused = false;
            try {
                Json.parse(text);
            } catch (IllegalArgumentException error) {
                refused = true;
            }
            TestRunner.check(refused, "is no JSON: " + text);
        }
    }
}
