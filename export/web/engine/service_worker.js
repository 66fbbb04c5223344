/**
 * Keeps the site in the browser, so that it works offline, and makes it cross-origin isolated on
 * hosts whose headers cannot be set, so that threads work.
 *
 * Small files are fetched when this worker is installed; models and builds of LiteRT.js, of 9 MB
 * each, when they are first used. All are checked against the hashes that `export-web` computed.
 */

/** @typedef {ServiceWorkerGlobalScope} Scope */

/** @type {Record<string, string>} File of the site → its hash; put here by `export-web`. */
/* global FILES */
const integrities = FILES;
const scope = /** @type {Scope} */ (/** @type {unknown} */ (self));
const home = new URL("./", scope.location.href);
const LAZY = /^(wasm|models)\//;
/** Sites in other folders of a host have caches of their own. */
const PREFIX = `waveunet-${home.pathname}?`;
/** The names that earlier versions gave, whatever the folder. */
const EARLIER = /^waveunet-[0-9a-f]+$/;

/** The cache of this version: its name changes with any file. */
const cacheName = PREFIX + digestOf(Object.values(integrities).join());

scope.addEventListener("install", (event) => event.waitUntil(install()));
scope.addEventListener("activate", (event) => event.waitUntil(activate()));
scope.addEventListener("fetch", (event) => {
  const name = nameOf(event.request);
  if (name !== null) event.respondWith(answer(name));
});

async function install() {
  const small = Object.keys(integrities).filter((name) => !LAZY.test(name));
  await Promise.all(small.map(async (name) => keep(name, await fetched(name))));
}

async function activate() {
  for (const name of await caches.keys()) {
    if (name !== cacheName && (await isOurs(name))) await moveInto(name);
  }
  await scope.clients.claim();
}

/** @param {string} cache Its name. */
async function isOurs(cache) {
  if (!EARLIER.test(cache)) return cache.startsWith(PREFIX);
  return Boolean(await (await caches.open(cache)).match(new URL("index.html", home)));
}

/**
 * Takes from an earlier version's cache the files that have not changed, and removes it.
 *
 * @param {string} earlier
 */
async function moveInto(earlier) {
  const [before, now] = [await caches.open(earlier), await caches.open(cacheName)];
  for (const request of await before.keys()) {
    const response = await before.match(request);
    const name = request.url.slice(home.href.length);
    const same = response?.headers.get("x-integrity") === integrities[name];
    if (response && same && !(await now.match(request))) await now.put(request, response);
  }
  await caches.delete(earlier);
}

/**
 * The site's file that a request is for; null where it is for none.
 *
 * @param {Request} request
 */
function nameOf(request) {
  const url = new URL(request.url);
  if (request.method !== "GET" || !url.href.startsWith(home.href)) return null;
  const name = decodeURIComponent(url.pathname.slice(home.pathname.length)) || "index.html";
  return name in integrities ? name : null;
}

/** @param {string} name */
async function answer(name) {
  const kept = await (await caches.open(cacheName)).match(new URL(name, home));
  if (kept) return kept;
  const response = await fetched(name);
  await keep(name, response.clone()).catch(() => {}); // the disk may be full
  return response;
}

/**
 * @param {string} name
 * @param {Response} response
 */
async function keep(name, response) {
  await (await caches.open(cacheName)).put(new URL(name, home), response);
}

/**
 * Fetches a file and checks it.
 *
 * @param {string} name
 */
async function fetched(name) {
  const integrity = integrities[name];
  const response = await fetch(new URL(name, home), { integrity, cache: "no-cache" });
  if (!response.ok) throw new Error(`${name}: status ${response.status}`);
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  headers.set("x-integrity", integrity);
  // The body is no longer compressed.
  headers.delete("Content-Encoding");
  headers.delete("Content-Length");
  return new Response(response.body, { headers });
}

/**
 * A short hash of a text, for a name.
 *
 * @param {string} text
 */
function digestOf(text) {
  let hash = 0;
  for (const letter of text) hash = (Math.imul(hash, 31) + letter.charCodeAt(0)) | 0;
  return (hash >>> 0).toString(16);
}
