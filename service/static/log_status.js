// What stands around the log's lines: where one is, what is new, why there is nothing.
import { byId, element, setAttribute, setText } from "./element.js";
import { counted, exact } from "./units.js";

export class LogStatus {
  #note = byId("log-note");
  #empty = byId("log-empty");
  #toEnd = byId("to-end");
  #pause = byId("pause");
  #earlier = edge("Read earlier lines from the server");
  #later = edge("Read later lines from the server");

  /** `pause`, `toEnd` and `read(earlier)` are called when somebody asks for them. */
  constructor({ pause, toEnd, read }) {
    this.#pause.addEventListener("click", pause);
    this.#toEnd.addEventListener("click", toEnd);
    this.#earlier.addEventListener("click", ({ target }) => target.matches("button") && read(true));
    this.#later.addEventListener("click", ({ target }) => target.matches("button") && read(false));
    const lines = byId("log-lines");
    lines.prepend(this.#earlier);
    lines.append(this.#later);
  }

  say(text) {
    setText(this.#note, text);
  }

  /** Say how things are; `connected`: an empty log is known to be empty, `filtered`: not all is let through. */
  show({ reader, list, kept, connected, filtered }) {
    const { paused, elsewhere, waiting, fault } = reader;
    setAttribute(this.#pause, "aria-pressed", String(paused));
    setText(this.#pause, paused ? "Resume" : "Pause");
    if (fault !== "") this.say(fault);
    else if (paused) this.say(`Paused, ${counted(waiting, "new event")}`);
    else if (elsewhere) this.say("From the server's log");
    else this.say(kept === 0 ? "" : `${exact(list.rows.length)} of ${exact(kept)} kept`);
    this.#empty.hidden = list.rows.length > 0;
    if (!connected) setText(this.#empty, "Waiting for the server…");
    else setText(this.#empty, kept > 0 && filtered ? "No event kept here matches the filter." : "No events yet. They appear here as they are reported.");
    this.#earlier.hidden = !connected || !reader.more;
    this.#later.hidden = !elsewhere || paused;
    this.#toEnd.hidden = list.atEnd || (paused && !elsewhere && list.room.below < 1);
    const fresh = elsewhere ? waiting : reader.behind + (paused ? 0 : waiting);
    if (elsewhere) setText(this.#toEnd, fresh > 0 ? `↓ Back to live, ${exact(fresh)} new` : "↓ Back to live");
    else setText(this.#toEnd, fresh > 0 ? `↓ ${exact(fresh)} new` : "↓ Newest");
  }
}

function edge(text) {
  return element("p", { class: "edge", hidden: true }, element("button", { type: "button", text }));
}
