// Lets the page be installed, and says honestly that it is offline where the server cannot be reached.
// Only the offline page is ever kept: what the monitor shows always comes from the server.
const SHELL = "offline-shell";
const PARTS = ["/static/offline.html", "/static/offline.js", "/static/theme_first.js", "/static/monitor.css", "/static/icon.svg"];

self.addEventListener("install", (event) => {
  const fresh = PARTS.map((path) => new Request(path, { cache: "reload" }));
  event.waitUntil(caches.open(SHELL).then((cache) => cache.addAll(fresh)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { pathname } = new URL(event.request.url);
  if (event.request.mode === "navigate" && ["/", "/monitor", "/enhanced-monitor.html"].includes(pathname)) {
    event.respondWith(fetch(event.request).catch(() => caches.match("/static/offline.html")));
  } else if (PARTS.includes(pathname)) {
    event.respondWith(fetch(event.request).catch(() => caches.match(pathname)));
  }
});
