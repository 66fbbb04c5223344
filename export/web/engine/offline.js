/** Of this site, which may lie beside others in folders of a host. */
const RELOADED = `waveunet-isolated-${location.pathname}`;

/**
 * Registers the service worker: the page then works offline. Where the host does not isolate the
 * page, this reloads it once, after which it is isolated and threads work; call it first.
 *
 * @param {string} [address] The service worker's script.
 * @returns {Promise<boolean>} Whether the page works offline. Never answers where it reloads.
 */
export async function goOffline(address = "service-worker.js") {
  if (!("serviceWorker" in navigator)) return false;
  try {
    const registration = await navigator.serviceWorker.register(address);
    await controlled(registration);
    if (!registration.active) return false; // the host changes files, or lacks one
  } catch {
    return false; // a private window, or a host without https
  }
  if (!crossOriginIsolated && !sessionStorage.getItem(RELOADED)) {
    sessionStorage.setItem(RELOADED, "yes");
    location.reload();
    return new Promise(() => {});
  }
  return true;
}

/**
 * Waits until the service worker answers for this page, or is given up.
 *
 * @param {ServiceWorkerRegistration} registration
 */
async function controlled({ installing, active }) {
  if (navigator.serviceWorker.controller) return;
  if (crossOriginIsolated && active) return; // after a forced reload a page is never controlled
  await new Promise((resolve) => {
    installing?.addEventListener("statechange", () => {
      if (installing.state === "redundant") resolve(null);
    });
    navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true });
    setTimeout(resolve, 10_000); // or after a forced reload
  });
}
