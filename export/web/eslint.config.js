// Run from the repository's root, for the player lies outside of this folder.
import js from "@eslint/js";
import globals from "globals";

const rules = { eqeqeq: "error", "no-var": "error", "prefer-const": "error" };
// What the player's classic scripts share with each other and with the page.
const player = ["Channel", "Lane", "Mixer", "Player", "TimeArea", "Waveform", "beginSound"]
  .concat(["clock", "colour", "drawTimeline", "find", "fromHtml", "mixLanes", "sleep", "tickClock"])
  .reduce((all, name) => ({ ...all, [name]: "readonly" }), {});

export default [
  js.configs.recommended,
  {
    files: ["export/web/{engine,page}/*.js"],
    languageOptions: {
      globals: { ...globals.browser, ...globals.worker, ...globals.audioWorklet, ...player },
    },
    rules,
  },
  {
    files: ["evaluate/player/web/*.js"],
    languageOptions: { sourceType: "script", globals: { ...globals.browser, ...player } },
    rules: { ...rules, "no-redeclare": "off", "no-unused-vars": ["error", { vars: "local" }] },
  },
];
