/** What `export-web` puts into the service worker: file of the site → its hash. */
declare const FILES: Record<string, string>;
