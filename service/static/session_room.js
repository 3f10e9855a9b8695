// The view of one session: its course, its steps, its errors and its cost, now or as they were at any event.
import { read, ReadError } from "./api.js";
import { serverNow } from "./clock.js";
import { Course } from "./course.js";
import { byId, setContent, setText } from "./element.js";
import { ErrorList } from "./error_list.js";
import { longAgo, moment } from "./moment.js";
import { ProgressChart } from "./progress_chart.js";
import { Scrubber } from "./scrubber.js";
import { SessionCard } from "./session_card.js";
import { SessionLinks } from "./session_links.js";
import { viewOf } from "./session_view.js";
import { StepList } from "./step_list.js";
import { Tape } from "./tape.js";
import { counted } from "./units.js";
import { UsageFacts } from "./usage_facts.js";

const DRAW_EVERY_MS = 250; // while a long session is being read

export class SessionRoom {
  #id;
  #course;
  #tape;
  #status = null;
  #session = null;
  #card = new SessionCard();
  #past = byId("session-past");
  #note = byId("session-view-note");
  #gapNote = byId("session-gap");
  #chart = new ProgressChart();
  #scrubber = new Scrubber({ look: () => this.#look() });
  #steps = new StepList();
  #errors = new ErrorList({ go: (index) => this.#scrubber.go(index) });
  #usage = new UsageFacts();
  #links = new SessionLinks({ node: byId("session-links") });
  #event = null;
  #asked = 0;
  #drawnAt = 0;

  constructor(id) {
    this.#id = id;
    byId("session-view").hidden = false;
    byId("session-chart").append(this.#chart.node);
    this.reset();
  }

  /** The server has another log: begin anew. */
  reset() {
    this.#course = new Course();
    this.#tape = new Tape(this.#id, this.#course);
    this.#session = null;
    this.#scrubber.update(this.#tape);
  }

  /** Read what is new and show it. Throws ReadError. */
  async refresh() {
    const tape = this.#tape;
    [this.#status, this.#session] = await Promise.all([read("/status").then(({ body }) => body), this.#readSession()]);
    this.#links.show(this.#id, this.#session, this.#status.links);
    if (this.#session !== null) await tape.extend(() => this.#showReading(tape));
    if (tape !== this.#tape) return;
    setText(this.#note, tape.count === 0 ? "" : `${counted(tape.count, "event")} kept`);
    this.#draw();
  }

  #showReading(tape) {
    if (tape !== this.#tape || performance.now() - this.#drawnAt < DRAW_EVERY_MS) return;
    setText(this.#note, `reading, ${counted(tape.count, "event")} so far`);
    this.#draw();
  }

  /** Look so many events on, or back. */
  step(by) {
    this.#scrubber.step(by);
  }

  /** The axis of a running session goes on without events too. */
  tick() {
    if (this.#tape.count > 0 && this.#session?.ended_at === null) this.#draw();
  }

  async #readSession() {
    try {
      return (await read(`/sessions/${encodeURIComponent(this.#id)}`)).body;
    } catch (error) {
      if (error instanceof ReadError && error.status === 404) return null;
      throw error;
    }
  }

  get #until() {
    const newest = this.#course.last.time;
    return this.#tape.end?.attempt.ended_received === null ? Math.max(newest, serverNow()) : newest;
  }

  #draw() {
    this.#drawnAt = performance.now();
    const tape = this.#tape;
    this.#scrubber.update(tape);
    if (this.#course.last === null) {
      this.#scrubber.say(null);
      return;
    }
    this.#chart.show(this.#course, tape.gaps, this.#until);
    this.#showGap();
    if (this.#scrubber.index === null) this.#showNow();
    else {
      this.#showMarks();
      this.#scrubber.say(this.#event);
    }
  }

  #showMarks() {
    const { index, time } = this.#scrubber;
    this.#chart.point(time);
    this.#steps.show(this.#course, index, time ?? this.#until, (at) => this.#chart.x(at));
    this.#errors.show(this.#course, index, this.#tape.gaps.length > 0);
  }

  #showNow() {
    this.#asked += 1;
    byId("session-then").hidden = true;
    this.#past.replaceChildren(); // a card nobody sees is none
    this.#showMarks();
    this.#usage.show(this.#session);
    this.#scrubber.say(null);
  }

  /** Show the place the scrubber is at; what was asked before and comes later is dropped. */
  async #look() {
    const { index, time } = this.#scrubber;
    if (index === null) {
      this.#draw();
      return;
    }
    const asked = ++this.#asked;
    let found = null;
    let fault = "the server has removed these events meanwhile";
    try {
      found = await this.#tape.at(index);
    } catch (error) {
      if (!(error instanceof ReadError)) throw error;
      fault = error.message;
    }
    if (asked !== this.#asked) return;
    byId("session-then").hidden = false;
    this.#showMarks();
    if (found === null || found.state === null) {
      this.#past.replaceChildren();
      this.#entitle("As it was at ", moment(time), `: ${found === null ? fault : "no event of its own had come"}`);
      return;
    }
    const view = this.#viewAt(found, time);
    const unsure = found.state.unsure === found.state.attempt.number;
    const since = unsure ? [", counted since ", moment(this.#tape.timeOf(this.#tape.gaps.at(-1).index))] : [];
    this.#entitle("As it was at ", moment(time), ...since);
    if (!this.#card.node.isConnected) this.#past.append(this.#card.node);
    this.#card.show(view, performance.now(), { past: true });
    this.#usage.show(view);
    this.#event = found.event;
    this.#scrubber.say(found.event);
  }

  #entitle(...parts) {
    setContent(byId("session-then-title"), ...parts);
  }

  /** The session at an event and, in a replay, a while after it; what a gap has taken is null, never guessed. */
  #viewAt({ state, event, time }, lookedAt) {
    const { event_log: eventLog, stalled_after_s: stalledAfter } = this.#status;
    const now = event.received_at + Math.max(0, lookedAt - time);
    const view = viewOf(state, { now, logId: eventLog.id, stalledAfter });
    if (state.unsure === state.attempt.number) Object.assign(view, { duration_s: null, usage: null, trace_id: null, eta_s: null });
    return view;
  }

  #showGap() {
    const [gap] = this.#tape.gaps;
    const shortened = this.#tape.first > 0;
    this.#gapNote.hidden = gap === undefined && !shortened;
    let parts = [];
    if (shortened) {
      parts = [`This page holds the newest ${counted(this.#tape.count - this.#tape.first, "event")} of this session; the server has older ones.`];
    } else if (gap !== undefined) {
      const from = moment(this.#tape.timeOf(gap.index), longAgo);
      parts =
        gap.index === 0
          ? ["Events before ", from, " are no longer kept. What was counted before then is missing from the moments of the past shown here; what is shown of now is complete."]
          : ["Events between ", moment(gap.since, longAgo), " and ", from, " may be missing: the server removed them while this page was reading."];
    }
    setContent(this.#gapNote, ...parts);
  }
}
