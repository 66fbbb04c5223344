/* Helpers that the player's scripts and their pages share. These are classic scripts, for a
   page from file:// may load no modules. */
"use strict";

/**
 * Returns the first element that a selector names, which must be there.
 *
 * @param {string} selector
 * @param {ParentNode} root
 * @returns {any}
 */
const find = (selector, root = document) => root.querySelector(selector);

/**
 * Returns the value of a colour of the style sheet, such as --text.
 *
 * @param {string} name
 */
const colour = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();

/**
 * Makes an element out of HTML, which must be a constant: text of others goes to textContent.
 *
 * @param {string} html
 * @returns {any}
 */
function fromHtml(html) {
  const template = document.createElement("template");
  template.innerHTML = html.trim();
  return template.content.firstElementChild;
}

/**
 * Formats a time as 1:02:03.4, with hours where there are some.
 *
 * @param {number} seconds
 * @param {number} digits Digits after the point.
 */
function clock(seconds, digits = 1) {
  const rounded = Number(seconds.toFixed(digits));
  const rest = (rounded % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  const minutes = Math.floor(rounded / 60);
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

/**
 * Formats a tick of a time axis: whole seconds, or tenths between them.
 *
 * @param {number} seconds
 */
const tickClock = (seconds) => clock(seconds, Number.isInteger(seconds) ? 0 : 1);
