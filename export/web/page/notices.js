/** Tells the user what goes wrong, in one line each; and a screen reader what goes on. */

const CLOSE = `<button type="button" class="icon" aria-label="Dismiss"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M6 6l12 12M18 6L6 18"/></svg></button>`;
const MOST = 3;

/**
 * Returns an error as one line.
 *
 * @param {unknown} error
 * @param {string} [name] Of the file, which is not said where it stands beside.
 */
export function lineOf(error, name) {
  const text = error instanceof Error ? error.message : String(error);
  const line = text.split("\n")[0] || "Something went wrong.";
  return name && line.startsWith(`${name}: `) ? titled(line.slice(name.length + 2)) : line;
}

/** @param {unknown} error */
export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/**
 * Shows a line until someone dismisses it.
 *
 * @param {unknown} error An error, or the line.
 */
export function notify(error) {
  const box = find("#notices");
  const line = lineOf(error);
  for (const old of box.children) if (old.firstElementChild?.textContent === line) old.remove();
  while (box.children.length >= MOST) box.firstElementChild.remove();
  const notice = fromHtml(`<div class="notice" role="alert"><p></p>${CLOSE}</div>`);
  find("p", notice).textContent = line;
  find("button", notice).addEventListener("click", () => notice.remove());
  box.append(notice);
}

/** @param {string} text For a screen reader. */
export function say(text) {
  find("#said").textContent = text;
}

/** What the page remembers, if the browser lets it: a name, and a text for it. */
export const memory = {
  /** @param {string} name */
  get(name) {
    try {
      return localStorage.getItem(name);
    } catch {
      return null; // the user blocks a site's data
    }
  },
  /**
   * @param {string} name
   * @param {string} text
   */
  set(name, text) {
    try {
      localStorage.setItem(name, text);
    } catch {
      // the next page begins anew
    }
  },
};

/** @param {string} name Such as of a stem. */
export const titled = (name) => name.charAt(0).toUpperCase() + name.slice(1);

/** @param {string[]} names Of stems. */
export const shadeOf = (names) => {
  // The voice has its own colour, whichever place it has.
  const others = names.filter((name) => !isVoice(name));
  return (/** @type {string} */ name) =>
    isVoice(name) ? "var(--stem-1)" : `var(--stem-${[0, 2, 3, 4, 5][others.indexOf(name) % 5]})`;
};

/** @param {string} name */
export const isVoice = (name) => /^(vocals?|voice|singing|lead)/i.test(name);
