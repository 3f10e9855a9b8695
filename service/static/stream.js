// The page's end of /ws: follows the log from a position, notices a dead socket, returns to the same position.
//
// An open socket proves nothing (a laptop that slept, a cut cable), and pings are invisible to scripts, so the
// newest seq is read over HTTP now and then: what the log has and the socket does not bring is a dead socket.
// docs/page.md promises how soon.
import { Backoff } from "./backoff.js";
import { Position } from "./position.js";
import { Sleep } from "./sleep.js";

const REPLAY_AT_MOST = 2000; // a new log longer than this is begun at its newest events instead
const OPEN_WITHIN_MS = 10000;
const PROBE_EVERY_MS = 10000;
const SILENCE_MS = 5000; // events that stop coming are the end of the work or of the line: ask which
const DOUBTFUL_PROBE_MS = 3000;
const QUIET_MS = 3000;
const STABLE_MS = 5000;
const FAILED_PROBES = 2;

const REFUSED = "the live connection is refused though places are free; a proxy on the way must let WebSockets through";
const CLOSED_BECAUSE = {
  1001: "the server is going away",
  1008: "the server refused the connection",
  1009: "a frame was over its limit",
  1013: "the server asks to come back later",
};

/**
 * handlers: event(event, size), failed(event), gap(frame), reset(frame), opened(since), slept({from, to}),
 * state(state), each called in stream order; `failed` where `event` has thrown. probe(): async, returns {logId, newest, viewers, viewersLimit, viewersFree, unavailableSince} or
 * throws with a message for people.
 *
 * A state is {name, behind, reason, full, since, retryAt, logUnavailableSince}; `name` is one of
 * connecting, catching_up, live, doubtful, waiting. `behind` counts seqs, `since` (the last moment known to have been
 * live) and `retryAt` are milliseconds as Date.now(). `full`: the server answers but has no place for this page.
 */
export class Stream {
  #session;
  #handlers;
  #probe;
  #backoff = new Backoff();
  #socket = null;
  #attempt = 0;
  #timer = null;
  #position = new Position();
  #target = 0;
  #connectTarget = 0;
  #caughtUp = false;
  #unproven = false; // after a sleep: what the log has now is not known yet
  #openedAt = 0;
  #lastFrameAt = 0;
  #lastProbeAt = 0;
  #heardAt = Date.now(); // the last sign that the socket brings all there is
  #sleep = new Sleep();
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
    this.#logUnavailableSince = probe.unavailableSince;
    this.#connectTarget = this.#target = probe.newest;
    this.#position.found(probe.logId, probe.newest);
    this.#open(attempt);
  }

  #open(attempt) {
    const socket = new WebSocket(this.#address());
    let opened = false;
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#wait("the live connection did not open within 10 s"), OPEN_WITHIN_MS);
    socket.onopen = () => {
      opened = true;
      clearTimeout(this.#timer);
      this.#openedAt = this.#lastFrameAt = this.#lastProbeAt = performance.now();
      this.#heardAt = Date.now();
      this.#caughtUp = this.#unproven = false;
      this.#failedProbes = 0;
      this.#overdue = null;
      const since = this.#liveUntil;
      this.#progress();
      this.#handlers.opened(since);
    };
    socket.onmessage = (message) => this.#take(message.data);
    socket.onclose = (closed) => {
      if (attempt !== this.#attempt) return;
      this.#noticeSleep();
      if (opened) this.#wait(closed.reason || CLOSED_BECAUSE[closed.code] || "the connection was cut");
      else this.#explain(attempt);
    };
  }

  /** A refused upgrade tells a script nothing: the server's own count of its places does. */
  async #explain(attempt) {
    clearTimeout(this.#timer);
    let [full, reason] = [false, REFUSED];
    try {
      const { viewers, viewersLimit, viewersFree } = await this.#probe();
      full = viewersFree === 0;
      if (full) reason = `no place for a viewer is free (${viewers} of ${viewersLimit} taken)`;
    } catch (error) {
      reason = error.message;
    }
    if (attempt === this.#attempt) this.#wait(reason, { full });
  }

  #address() {
    const url = new URL("/ws", location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("role", "viewer");
    url.searchParams.set("batch", "1"); // many events then cost one message, not one each
    url.searchParams.set("client_id", "monitor-page");
    url.searchParams.set("session_id", this.#session ?? "*");
    url.searchParams.set(...this.#position.query);
    return url;
  }

  #take(data) {
    this.#noticeSleep();
    this.#lastFrameAt = performance.now();
    this.#heardAt = Date.now();
    this.#failedProbes = 0;
    this.#overdue = null;
    let frames;
    try {
      frames = [JSON.parse(data)].flat();
    } catch {
      this.#wait("the server sent a frame that is not JSON"); // and comes again from the last event before it
      return;
    }
    for (const frame of frames) {
      try {
        this.#takeOne(frame, data.length / frames.length);
      } catch (error) {
        reportError(error); // one event that cannot be shown must not take along those behind it
        this.#handlers.failed(frame);
      }
    }
    this.#progress();
  }

  #takeOne(frame, size) {
    if (typeof frame.seq === "number") {
      if (this.#position.take(frame.seq)) this.#handlers.event(frame, size);
    } else if (frame.type === "gap") {
      this.#position.skipTo(frame.next);
      this.#handlers.gap(frame);
    } else if (frame.type === "log_unavailable") this.#logUnavailableSince = frame.since ?? Date.now() / 1000;
    else if (frame.type === "log_available") this.#logUnavailableSince = null;
    else if (frame.type === "reset") this.#reset(frame);
  }

  #reset(frame) {
    const fromStart = frame.last_seq <= REPLAY_AT_MOST;
    this.#position.reset(frame.log, { fromStart });
    this.#target = this.#connectTarget = frame.last_seq;
    this.#handlers.reset(frame);
    if (!fromStart) this.#connect();
  }

  /** Say where we stand; live only once all that the log had when we connected is here. */
  #progress() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#caughtUp ||= !this.#unproven && this.#position.seen >= this.#target;
    this.#show(this.#caughtUp ? "live" : "catching_up");
  }

  #tick() {
    this.#noticeSleep();
    const now = performance.now();
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    if (now - this.#openedAt > STABLE_MS) this.#backoff.reset();
    const doubtful = this.#failedProbes || this.#overdue || this.#unproven || this.#position.seen < this.#target;
    const fellSilent = this.#lastFrameAt > this.#lastProbeAt && now - this.#lastFrameAt > SILENCE_MS;
    if (fellSilent || now - this.#lastProbeAt > (doubtful ? DOUBTFUL_PROBE_MS : PROBE_EVERY_MS)) this.#check();
  }

  /** After a sleep nothing is known, whatever the socket says: not live again before the server has answered. */
  #noticeSleep() {
    const slept = this.#sleep.look();
    if (slept === null) return;
    this.#liveUntil ??= slept.from;
    [this.#unproven, this.#caughtUp] = [true, false];
    this.#handlers.slept(slept);
    this.#progress();
    this.retry();
  }

  async #check() {
    if (this.#probing || this.#socket?.readyState !== WebSocket.OPEN) return;
    const attempt = this.#attempt;
    this.#probing = true;
    let [probe, reason] = [null, null];
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
      if (this.#unproven || this.#failedProbes >= FAILED_PROBES) this.#wait(reason);
      else this.#show("doubtful", { reason, since: this.#heardAt });
    } else {
      this.#judge(probe);
    }
  }

  #judge(probe) {
    this.#failedProbes = 0;
    this.#logUnavailableSince = probe.unavailableSince;
    if (!this.#position.isOf(probe.logId)) {
      this.#wait("the server has another log now");
      return;
    }
    this.#unproven = false;
    const quiet = performance.now() - this.#lastFrameAt > QUIET_MS;
    // A fresh socket that stays quiet has nothing for us up to there: retention may have removed the newest.
    if (quiet && this.#position.seen < this.#connectTarget) this.#position.nothingUpTo(this.#connectTarget);
    if (this.#overdue !== null && this.#position.seen < this.#overdue) {
      this.#wait("the live connection brought nothing although there are new events", { since: this.#heardAt });
      return;
    }
    this.#overdue = probe.newest > this.#position.seen && quiet ? probe.newest : null;
    if (this.#overdue === null) this.#heardAt = Date.now();
    this.#target = Math.max(this.#target, probe.newest);
    this.#progress();
  }

  #wait(reason, { full = false, since } = {}) {
    this.#drop();
    const wait = this.#backoff.next();
    this.#timer = setTimeout(() => this.#connect(), wait);
    this.#show("waiting", { reason, full, since, retryAt: Date.now() + wait });
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

  #show(name, { reason = null, retryAt = null, full = false, since = Date.now() } = {}) {
    if (name === "live") this.#liveUntil = null;
    else this.#liveUntil ??= since;
    this.#handlers.state({
      name,
      reason: reason !== null && !navigator.onLine ? "this device is offline" : reason,
      retryAt,
      full,
      since: this.#liveUntil,
      behind: Math.max(0, this.#target - this.#position.seen),
      logUnavailableSince: this.#logUnavailableSince,
    });
  }
}
