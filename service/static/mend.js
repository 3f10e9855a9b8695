// A file of this page did not come: the server was updated, or went away, while the page was loading. Without all
// of its files the page would stand half made, so it is loaded again once the server answers.
// Not a module, and always at the same address: it must be there when the others are not.
const MEND_EVERY_MS = 2000;
const MEND_AGAIN_MS = 10000; // two servers of different releases behind one address: no storm of loads
let mending = false;

function lastMended() {
  try {
    return Number(sessionStorage.getItem("mended")) || 0;
  } catch {
    return Date.now(); // storage is forbidden: always wait
  }
}

async function mend() {
  try {
    if ((await fetch(location.href, { method: "HEAD", cache: "no-store" })).ok) {
      try {
        sessionStorage.setItem("mended", String(Date.now()));
      } catch {
        // Then the next one waits anyway.
      }
      return location.reload();
    }
  } catch {
    // Not there yet.
  }
  setTimeout(mend, MEND_EVERY_MS);
  return undefined;
}

addEventListener(
  "error",
  ({ target }) => {
    const needed = target instanceof HTMLScriptElement || (target instanceof HTMLLinkElement && target.relList.contains("stylesheet"));
    if (!needed || mending) return;
    mending = true;
    setTimeout(mend, Math.max(0, lastMended() + MEND_AGAIN_MS - Date.now()));
  },
  true, // such an error does not bubble
);
