// The page that stands in while the server cannot be reached: it tries again and steps aside.
const EVERY_MS = 5000;

async function attempt() {
  try {
    const answer = await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(EVERY_MS - 500) });
    if (answer.ok) return location.reload();
  } catch {
    // Still away.
  }
  document.getElementById("tried").textContent = `Last tried ${new Date().toLocaleTimeString()}; no answer. Trying again every few seconds.`;
  return undefined;
}

document.getElementById("again").addEventListener("click", attempt);
setInterval(attempt, EVERY_MS);
