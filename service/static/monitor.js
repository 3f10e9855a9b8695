// The monitor page put together: one stream from /ws, and panels that read the server's truth when it moves.
import { Address } from "./address.js";
import { Alerts } from "./alerts.js";
import { Announcer } from "./announcer.js";
import { read, ReadError } from "./api.js";
import { byServer, serverNow } from "./clock.js";
import { ConnectionView } from "./connection.js";
import { byId } from "./element.js";
import { History } from "./history.js";
import { Keys } from "./keys.js";
import { Layout } from "./layout.js";
import { Log } from "./log.js";
import { Notices } from "./notices.js";
import { Pulse } from "./pulse.js";
import { Release } from "./release.js";
import { Sessions } from "./sessions.js";
import { shortcuts } from "./shortcuts.js";
import { Stream } from "./stream.js";
import { Tab } from "./tab.js";
import { short } from "./text.js";
import { Theme } from "./theme.js";
import { Throughput } from "./throughput.js";
import { clockTime, counted, exact } from "./units.js";
import { Workers } from "./workers.js";

const SESSION_ID = /^[A-Za-z0-9._:-]{1,128}$/;
const READ_EVERY_MS = 1000;
const WORKERS_EVERY_MS = 3000;
const ALERTS_EVERY_MS = 15000;
const UNPROMPTED_MS = 10000; // a session stalls by the time alone, without an event

const address = new Address();
const only = address.get("session") || null;

const tab = new Tab({ only });
const sessions = new Sessions({ only, showEnded: (statuses) => showEnded(statuses) });
const alerts = new Alerts({ showWorker: (id) => showWorker(id) });
// A third of the page's scripts: read only by who looks at one session.
const room = only === null ? null : new (await import("./session_room.js")).SessionRoom(only);
const history = new History({ address });
const workers = new Workers();
const throughput = new Throughput();
const log = new Log({ only, address });
const layout = new Layout();
const theme = new Theme();
const release = new Release();
const notices = new Notices();
const announcer = new Announcer();
const connection = new ConnectionView({ only, tab, retry: () => stream.retry() });

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
    workers.dashboard = sessions.links?.worker_dashboard ?? null;
    tab.sessions(sessions.summary);
    notices.sessions(sessions.active);
    announcer.sessions({ active: sessions.active, ended: sessions.summary.ended });
  }),
  READ_EVERY_MS,
);
const readRoom = room === null ? null : new Pulse(reading(() => room.refresh()), READ_EVERY_MS);
const readHistory = new Pulse(reading(() => history.refresh()), READ_EVERY_MS);
const readAlerts = new Pulse(
  reading(async () => {
    await alerts.refresh();
    tab.alerts(alerts.firing);
  }),
  ALERTS_EVERY_MS,
);
const readWorkers = new Pulse(
  reading(async () => {
    await workers.refresh();
    notices.workers(workers.known);
    announcer.workers(workers.known);
  }),
  WORKERS_EVERY_MS,
);

function readAll() {
  readAlerts.nudge();
  readSessions.nudge();
  readRoom?.nudge();
  readHistory.nudge();
  readWorkers.nudge();
}

/** What the watch of the stream compares itself with: the newest seq there is for this page. */
async function probe() {
  if (only !== null && !SESSION_ID.test(only)) throw new ReadError(400, `“${short(only, 64)}” is not the id of a session: 1 to 128 letters, digits and . _ : -`);
  const [status, session] = await Promise.all([read("/status"), only === null ? null : newestOf(only)]);
  const { event_log: eventLog } = status.body;
  release.seen(status.body.version);
  return {
    logId: eventLog.id,
    newest: only === null ? eventLog.last_seq : session,
    viewers: status.body.viewers,
    viewersLimit: status.body.viewers_limit,
    viewersFree: status.body.viewers_free,
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
      notices.add(event);
      if (workers.add(event)) readWorkers.nudge();
      if (event.type !== "worker_status") readSessions.nudge();
      readRoom?.nudge();
      if (!event.type.endsWith("_progress")) readHistory.nudge();
    },
    failed({ seq }) {
      log.mark("gap", `Event ${seq === undefined ? "" : `${exact(seq)} `}could not be shown by this page, or not whole: a fault of ours. The server has it.`);
    },
    gap({ missed, after, next }) {
      const what = typeof missed === "number" ? counted(missed, "event") : "Some events";
      // The server counts at once what it has removed here and there among the events that follow.
      const where = missed > next - after - 1 ? `after ${exact(after)}` : `between ${exact(after)} and ${exact(next)}`;
      log.mark("gap", `${what} ${where} missed: the server had removed them before they could be shown.`);
    },
    slept({ from, to }) {
      const [since, until] = [clockTime(byServer(from)), clockTime(byServer(to))];
      log.mark("asleep", `This page stood still from ${since} to ${until}: the computer slept, or the browser froze the page. What came meanwhile follows.`);
      readAll();
    },
    reset() {
      log.clear();
      throughput.clear();
      workers.clear();
      room?.reset();
      log.mark("reset", "The server has another event log now. What was shown before is cleared; this begins anew.");
      readAll();
    },
    opened(since) {
      log.opened();
      if (connectedBefore) log.mark("reconnected", `Connected again at ${clockTime(serverNow())}, not live since ${clockTime(byServer(since))}; the log goes on without a gap unless one is marked.`);
      connectedBefore = true;
      readAll();
    },
    state(state) {
      connection.show(state);
      if (state.name === "live") notices.begin();
    },
  },
});

function openPanels() {
  const enhanced = location.pathname.endsWith("/enhanced-monitor.html");
  byId("workers").open = enhanced;
  byId("throughput").open = enhanced;
}

/** From a count to those it counts. */
function showEnded(statuses) {
  layout.reveal("history");
  history.filterBy(statuses);
  byId("history-status").focus();
  byId("history").scrollIntoView({ block: "nearest" });
}

/** From an alert to the worker it is about. */
function showWorker(id) {
  layout.reveal("workers");
  byId("workers").open = true;
  workers.reveal(id);
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

const keys = new Keys(shortcuts({ layout, theme, notices, room, keys: () => keys }));

openPanels();
listenToGoto();
// Over plain HTTP from another machine there is none: the page works without, it just cannot be installed.
navigator.serviceWorker?.register("/service-worker.js").catch(() => {});
setInterval(() => {
  connection.tick();
  throughput.tick();
  workers.tick();
  alerts.tick();
  if (connection.live) {
    sessions.tick();
    room?.tick();
  }
}, 1000);
setInterval(readAll, UNPROMPTED_MS);
document.addEventListener("visibilitychange", () => readAlerts.nudge());
stream.start();
