// The page's end of /ws: follows the log from a position, notices a dead socket, returns to the same position.
//
// An open socket proves nothing (a laptop that slept, a cut cable), and pings are invisible to scripts, so the
// newest seq is read over HTTP now and then: what the log has and the socket does not bring is a dead socket.
import { Backoff } from "./backoff.js";

const BACKLOG = 200; // events to begin with where there is no position yet
const REPLAY_AT_MOST = 2000; // a new log longer than this is begun at its newest events instead
const OPEN_WITHIN_MS = 10000;
const PROBE_EVERY_MS = 15000;
const DOUBTFUL_PROBE_MS = 3000;
const QUIET_MS = 3000;
const STABLE_MS = 5000;
const FROZEN_MS = 20000; // the page slept if a one-second tick comes this late
const FAILED_PROBES = 2;

const CLOSED_BECAUSE = {
  1001: "the server is going away",
  1008: "the server refused the connection",
  1009: "a frame was over its limit",
  1013: "the server asks to come back later",
};

/**
 * handlers: event(event, size), gap(frame), reset(frame), opened(), state(state), each called in stream order.
 * probe(): async, returns {logId, newest, viewers, unavailableSince} or throws with a message for people.
 *
 * A state is {name, behind, reason, since, retryAt, position, logUnavailableSince}; `name` is one of connecting,
 * catching_up, live, doubtful, waiting. `behind` counts seqs, `since` and `retryAt` are milliseconds as Date.now().
 */
export class Stream {
  #session;
  #handlers;
  #probe;
  #backoff = new Backoff();
  #socket = null;
  #attempt = 0;
  #timer = null;
  #logId = null;
  #position = null;
  #target = 0;
  #nothingUpTo = 0;
  #connectTarget = 0;
  #caughtUp = false;
  #openedAt = 0;
  #lastFrameAt = 0;
  #lastTickAt = performance.now();
  #lastProbeAt = 0;
  #probing = false;
  #failedProbes = 0;
  #overdue = null;
  #liveUntil = null;
  #logUnavailableSince = null;

  constructor({ session, probe, handlers }) {
    this.#session = session;
    this.#probe = probe;
    this.#handlers = handlers;
  }

  start() {
    setInterval(() => this.#tick(), 1000);
    addEventListener("online", () => this.retry());
    addEventListener("offline", () => this.#check());
    addEventListener("pageshow", (shown) => shown.persisted && this.retry());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#check());
    this.#connect();
  }

  /** Connect at once, whatever the backoff says; nothing happens while a socket is open. */
  retry() {
    if (this.#socket === null) {
      this.#backoff.reset();
      this.#connect();
    } else {
      this.#check();
    }
  }

  get #seen() {
    return Math.max(this.#position?.seq ?? 0, this.#nothingUpTo);
  }

  async #connect() {
    this.#drop();
    const attempt = this.#attempt;
    this.#show("connecting");
    let probe;
    try {
      probe = await this.#probe();
    } catch (error) {
      if (attempt === this.#attempt) this.#wait(error.message);
      return;
    }
    if (attempt !== this.#attempt) return;
    this.#logId = probe.logId;
    this.#logUnavailableSince = probe.unavailableSince;
    this.#connectTarget = this.#target = probe.newest;
    // An empty log has a position too: what comes before the next attempt is then not cut to the newest few.
    if (this.#position === null && probe.newest === 0) this.#position = { seq: 0, log: probe.logId };
    this.#open(attempt, probe.viewers);
  }

  #open(attempt, viewers) {
    const socket = new WebSocket(this.#address());
    let opened = false;
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#wait("the live connection did not open within 10 s"), OPEN_WITHIN_MS);
    socket.onopen = () => {
      opened = true;
      clearTimeout(this.#timer);
      this.#openedAt = this.#lastFrameAt = this.#lastProbeAt = performance.now();
      this.#caughtUp = false;
      this.#failedProbes = 0;
      this.#overdue = null;
      this.#progress();
      this.#handlers.opened();
    };
    socket.onmessage = (message) => this.#take(message.data);
    socket.onclose = (closed) => {
      if (attempt !== this.#attempt) return;
      const reason = closed.reason || CLOSED_BECAUSE[closed.code] || "the connection was cut";
      this.#wait(opened ? reason : `the server answers but takes no more viewers (${viewers ?? "unknown"} connected)`);
    };
  }

  #address() {
    const url = new URL("/ws", location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("role", "viewer");
    url.searchParams.set("batch", "1"); // many events then cost one message, not one each
    url.searchParams.set("client_id", "monitor-page");
    url.searchParams.set("session_id", this.#session ?? "*");
    if (this.#position === null) url.searchParams.set("last", BACKLOG);
    else url.searchParams.set("after", `${this.#position.seq}@${this.#position.log}`);
    return url;
  }

  #take(data) {
    this.#lastFrameAt = performance.now();
    this.#failedProbes = 0;
    this.#overdue = null;
    const frame = JSON.parse(data);
    if (Array.isArray(frame)) frame.forEach((one) => this.#takeOne(one, data.length / frame.length));
    else this.#takeOne(frame, data.length);
    this.#progress();
  }

  #takeOne(frame, size) {
    if (typeof frame.seq === "number") {
      if (this.#position !== null && frame.seq <= this.#position.seq) return;
      this.#position = { seq: frame.seq, log: this.#logId };
      this.#handlers.event(frame, size);
      return;
    }
    if (frame.type === "gap") this.#gap(frame);
    else if (frame.type === "log_unavailable") this.#logUnavailableSince = frame.since ?? Date.now() / 1000;
    else if (frame.type === "log_available") this.#logUnavailableSince = null;
    else if (frame.type === "reset") this.#reset(frame);
  }

  /** What retention removed is behind us now: told once, it is not asked for again. */
  #gap(frame) {
    if (typeof frame.next === "number") {
      this.#nothingUpTo = Math.max(this.#nothingUpTo, frame.next - 1);
      if (this.#position !== null && frame.next > this.#position.seq) {
        this.#position = { seq: frame.next - 1, log: this.#logId };
      }
    }
    this.#handlers.gap(frame);
  }

  #reset(frame) {
    this.#logId = frame.log;
    this.#target = this.#connectTarget = frame.last_seq;
    this.#nothingUpTo = 0;
    this.#position = { seq: 0, log: frame.log };
    this.#handlers.reset(frame);
    if (frame.last_seq > REPLAY_AT_MOST) {
      this.#position = null;
      this.#connect();
    }
  }

  /** Say where we stand; live only once all that the log had when we connected is here. */
  #progress() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#caughtUp ||= this.#seen >= this.#target;
    this.#show(this.#caughtUp ? "live" : "catching_up");
  }

  #tick() {
    const now = performance.now();
    const slept = now - this.#lastTickAt > FROZEN_MS;
    this.#lastTickAt = now;
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    if (now - this.#openedAt > STABLE_MS) this.#backoff.reset();
    if (now - this.#lastFrameAt > QUIET_MS && this.#seen < this.#connectTarget) {
      // A fresh socket that stays quiet has nothing for us up to there: retention may have removed the newest.
      this.#nothingUpTo = this.#connectTarget;
      this.#progress();
    }
    const every = this.#failedProbes || this.#overdue || this.#seen < this.#target ? DOUBTFUL_PROBE_MS : PROBE_EVERY_MS;
    if (slept || now - this.#lastProbeAt > every) this.#check();
  }

  async #check() {
    if (this.#probing || this.#socket?.readyState !== WebSocket.OPEN) return;
    const attempt = this.#attempt;
    this.#probing = true;
    let probe = null;
    let reason = null;
    try {
      probe = await this.#probe();
    } catch (error) {
      reason = error.message;
    }
    this.#probing = false;
    this.#lastProbeAt = performance.now();
    if (attempt !== this.#attempt || this.#socket === null) return;
    if (probe === null) {
      this.#failedProbes += 1;
      if (this.#failedProbes >= FAILED_PROBES) this.#wait(reason);
      else this.#show("doubtful", { reason });
    } else {
      this.#judge(probe);
    }
  }

  #judge(probe) {
    this.#failedProbes = 0;
    this.#logUnavailableSince = probe.unavailableSince;
    if (probe.logId === this.#logId) {
      if (this.#overdue !== null && this.#seen < this.#overdue.newest) {
        this.#wait("the live connection brought nothing although there are new events");
        return;
      }
      const quiet = performance.now() - this.#lastFrameAt > DOUBTFUL_PROBE_MS;
      this.#overdue = probe.newest > this.#seen && quiet ? { newest: probe.newest } : null;
      this.#target = Math.max(this.#target, probe.newest);
    } else {
      this.#wait("the server has another log now");
      return;
    }
    this.#progress();
  }

  #wait(reason) {
    this.#drop();
    const wait = this.#backoff.next();
    this.#timer = setTimeout(() => this.#connect(), wait);
    this.#show("waiting", { reason: navigator.onLine ? reason : "this device is offline", retryAt: Date.now() + wait });
  }

  /** Forget the socket and whatever was under way: a dead one may take minutes to close by itself. */
  #drop() {
    this.#attempt += 1;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    if (socket !== null) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }

  #show(name, { reason = null, retryAt = null } = {}) {
    if (name === "live") this.#liveUntil = null;
    else this.#liveUntil ??= Date.now();
    this.#handlers.state({
      name,
      reason,
      retryAt,
      since: this.#liveUntil,
      behind: Math.max(0, this.#target - this.#seen),
      position: this.#position,
      logUnavailableSince: this.#logUnavailableSince,
    });
  }
}
