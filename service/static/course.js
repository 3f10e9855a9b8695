// The course of a session, kept small however long it gets: points of its progress, its steps, its newest errors.

const POINTS = 4000; // more than a wall screen has pixels for; then every second goes
const STEPS = 200;
const ERRORS = 200;

export class Course {
  #stride = 1;
  /** {index, time, progress, errors, attempt}; `progress` is null where none has been reported. */
  points = [];
  /** The newest event's, whatever is left out of `points`. */
  last = null;
  /**
   * {name, attempt, index, start, end, ended, unsure}: `end` null while it runs, `ended` false where nobody reported
   * its end, `unsure` where it may have begun in a gap.
   */
  steps = [];
  /** The newest ones, the newest last: {index, seq, time, attempt, text, type, step}. */
  errors = [];
  errorCount = 0;
  stepsLeftOut = 0;
  #running = new Map();

  /** One event, in order: what `Tape` tells its listener. */
  event(index, event, time, before, { attempt, unsure }) {
    if (before !== null && before !== attempt) this.#endSteps(time, false);
    if (event.type === "worker_status") return;
    this.#noteSteps(index, event, time, attempt, unsure === attempt.number);
    if (event.type.endsWith("_error")) this.#noteError(index, event, time, attempt);
    const point = { index, time, progress: attempt.progress, errors: this.errorCount, attempt: attempt.number };
    const turn = this.last === null || this.last.attempt !== point.attempt || this.last.progress === null;
    if (turn || index % this.#stride === 0) this.points.push(point);
    this.last = point;
    if (this.points.length > POINTS) this.#thin();
    if (attempt.ended_received !== null) this.#endSteps(time, false);
  }

  #noteSteps(index, event, time, attempt, unsure) {
    const name = event.step ?? attempt.step;
    if (name === null) return;
    let step = this.#running.get(name);
    if (step === undefined && (event.step ?? null) !== null) {
      step = { name, attempt: attempt.number, index, start: time, end: null, ended: false, unsure };
      this.#running.set(name, step);
      this.steps.push(step);
      if (this.steps.length > STEPS) {
        this.stepsLeftOut += 1;
        const [gone] = this.steps.splice(0, 1);
        if (this.#running.get(gone.name) === gone) this.#running.delete(gone.name);
      }
    }
    if (event.type === "step_completed" && step !== undefined) {
      step.end = time;
      step.ended = true;
      this.#running.delete(name);
    }
  }

  #endSteps(time, ended) {
    for (const step of this.#running.values()) Object.assign(step, { end: time, ended });
    this.#running.clear();
  }

  #noteError(index, event, time, attempt) {
    this.errorCount += 1;
    const { last_error: text, last_error_type: type } = attempt;
    this.errors.push({ index, seq: event.seq, time, attempt: attempt.number, text, type, step: event.step ?? null });
    if (this.errors.length > ERRORS) this.errors.shift();
  }

  #thin() {
    this.#stride *= 2;
    this.points = this.points.filter(
      (point, place) => place === 0 || point.index % this.#stride === 0 || point.attempt !== this.points[place - 1].attempt,
    );
    // Attempts by the thousand would each keep their first point: then the older half goes.
    if (this.points.length > POINTS) this.points.splice(0, POINTS / 2);
  }
}
