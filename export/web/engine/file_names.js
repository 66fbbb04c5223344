/**
 * A name of a file or a folder, on any system, out of any text such as a song's name.
 *
 * @param {string} text
 */
export function fileNameOf(text) {
  const name = text.replace(/[/\\:*?"<>|\p{Cc}]/gu, "_").replace(/[. ]+$/, "");
  return name || "song";
}
