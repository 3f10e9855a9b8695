// What is done with the log's lines: jump to a time, copy, download.
import { copy } from "./clipboard.js";
import { byId, setAttribute, setText } from "./element.js";
import { download, fileOf } from "./log_file.js";
import { counted } from "./units.js";

export class LogTools {
  #entries;
  #said = byId("log-said");

  /** `entries()` is what the filter shows; `jump(time)` is async and returns what there is to say, "" if nothing. */
  constructor({ entries, jump }) {
    this.#entries = entries;
    const tools = byId("log-tools");
    byId("log-tools-open").addEventListener("click", () => {
      tools.hidden = !tools.hidden;
      setAttribute(byId("log-tools-open"), "aria-expanded", String(!tools.hidden));
    });
    byId("log-jump").addEventListener("submit", async (submitted) => {
      submitted.preventDefault();
      const time = new Date(byId("log-time").value).getTime() / 1000;
      if (Number.isNaN(time)) return;
      this.#say("Looking…");
      this.#say(await jump(time));
    });
    byId("log-copy").addEventListener("click", () => this.#copy());
    for (const form of ["ndjson", "csv"]) byId(`log-${form}`).addEventListener("click", () => this.#download(form));
  }

  async #copy() {
    const entries = this.#entries();
    try {
      await copy(await (await fileOf(entries, "text")).text());
    } catch (error) {
      this.#say(`Not copied: ${error.message}`);
      return;
    }
    this.#say(`Copied ${this.#amount(entries)}.`);
  }

  async #download(form) {
    const entries = this.#entries();
    download(await fileOf(entries, form), `events-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.${form}`);
    this.#say(`Saved ${this.#amount(entries)}.`);
  }

  #amount(entries) {
    return counted(entries.filter((entry) => !entry.marker).length, "event");
  }

  #say(text) {
    setText(this.#said, text);
  }
}
