// The page that stands in while the server cannot be reached: it tries again and steps aside.
const EVERY_MS = 5000;

async function attempt() {
  try {
    const answer = await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(EVERY_MS - 500) });
    if (answer.ok) return location.reload();
  } catch {
    // Still away.
  }
  const now = new Date();
  const time = document.createElement("time");
  time.dateTime = now.toISOString();
  time.title = now.toISOString().replace("T", " ").replace("Z", " UTC");
  time.textContent = now.toLocaleTimeString();
  document.getElementById("tried").replaceChildren("Last tried ", time, "; no answer. Trying again every few seconds.");
  return undefined;
}

document.getElementById("again").addEventListener("click", async () => {
  await attempt();
  // Told aloud only to whoever asks, not every few seconds.
  document.getElementById("asked").textContent = `No answer, ${new Date().toLocaleTimeString()}.`;
});
setInterval(attempt, EVERY_MS);
