// The monitor page put together: one stream from /ws, and panels that read the server's truth when it moves.
import { Alerts } from "./alerts.js";
import { read, ReadError } from "./api.js";
import { ConnectionView } from "./connection.js";
import { byId } from "./element.js";
import { History } from "./history.js";
import { Log } from "./log.js";
import { Pulse } from "./pulse.js";
import { Sessions } from "./sessions.js";
import { Stream } from "./stream.js";
import { Throughput } from "./throughput.js";
import { clockTime, exact } from "./units.js";
import { Workers } from "./workers.js";

const READ_EVERY_MS = 1000;
const WORKERS_EVERY_MS = 3000;
const ALERTS_EVERY_MS = 15000;
const UNPROMPTED_MS = 10000; // a session stalls by the time alone, without an event

const only = new URLSearchParams(location.search).get("session") || null;

const sessions = new Sessions({ only });
const alerts = new Alerts();
const history = new History();
const workers = new Workers();
const throughput = new Throughput();
const log = new Log({ only });
const connection = new ConnectionView({ only, retry: () => stream.retry() });

/** A reading that fails leaves what is shown; the stream's own watch tells that the server does not answer. */
function reading(read) {
  return async () => {
    try {
      await read();
    } catch (error) {
      if (!(error instanceof ReadError)) throw error;
    }
  };
}

const readSessions = new Pulse(
  reading(async () => {
    await sessions.refresh();
    connection.setSummary(sessions.summary);
  }),
  READ_EVERY_MS,
);
const readHistory = new Pulse(reading(() => history.refresh()), READ_EVERY_MS);
const readAlerts = new Pulse(reading(() => alerts.refresh()), ALERTS_EVERY_MS);
const readWorkers = new Pulse(reading(() => workers.refresh()), WORKERS_EVERY_MS);

function readAll() {
  readAlerts.nudge();
  readSessions.nudge();
  readHistory.nudge();
  readWorkers.nudge();
}

/** What the watch of the stream compares itself with: the newest seq there is for this page. */
async function probe() {
  const [status, session] = await Promise.all([read("/status"), only === null ? null : newestOf(only)]);
  const { event_log: eventLog, viewers } = status.body;
  return {
    logId: eventLog.id,
    newest: only === null ? eventLog.last_seq : session,
    viewers,
    unavailableSince: eventLog.unavailable_since ?? null,
  };
}

async function newestOf(id) {
  try {
    return (await read(`/sessions/${encodeURIComponent(id)}`)).body.last_seq;
  } catch (error) {
    if (error.status === 404) return 0;
    throw error;
  }
}

let connectedBefore = false;

const stream = new Stream({
  session: only,
  probe,
  handlers: {
    event(event, size) {
      log.add(event, size);
      throughput.add(event);
      if (workers.add(event)) readWorkers.nudge();
      if (event.type !== "worker_status") readSessions.nudge();
      if (!event.type.endsWith("_progress")) readHistory.nudge();
    },
    gap({ missed, after, next }) {
      const what = typeof missed === "number" ? `${exact(missed)} ${missed === 1 ? "event" : "events"}` : "Some events";
      log.mark("gap", `${what} between ${exact(after)} and ${exact(next)} missed: the server had removed them before they could be shown.`);
    },
    reset() {
      log.clear();
      throughput.clear();
      workers.clear();
      log.mark("reset", "The server has another event log now. What was shown before is cleared; this begins anew.");
      readAll();
    },
    opened() {
      log.opened();
      if (connectedBefore) log.mark("reconnected", `Connected again at ${clockTime(Date.now() / 1000)}; the log goes on without a gap unless one is marked.`);
      connectedBefore = true;
      readAll();
    },
    state: (state) => connection.show(state),
  },
});

function openPanels() {
  const enhanced = location.pathname.endsWith("/enhanced-monitor.html");
  byId("workers").open = enhanced;
  byId("throughput").open = enhanced;
}

function listenToGoto() {
  const input = byId("goto-id");
  byId("all-sessions").hidden = only === null;
  byId("all-sessions").href = location.pathname;
  if (only !== null) input.value = only;
  byId("goto").addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    const url = new URL(location.pathname, location.href);
    url.searchParams.set("session", input.value.trim());
    location.assign(url);
  });
}

openPanels();
listenToGoto();
setInterval(() => {
  connection.tick();
  throughput.tick();
  if (connection.live) sessions.tick();
}, 1000);
setInterval(readAll, UNPROMPTED_MS);
document.addEventListener("visibilitychange", () => readAlerts.nudge());
stream.start();
