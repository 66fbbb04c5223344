import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    files: ["engine/*.js", "page/*.js"],
    languageOptions: { globals: { ...globals.browser, ...globals.worker } },
    rules: { eqeqeq: "error", "no-var": "error", "prefer-const": "error" },
  },
];
