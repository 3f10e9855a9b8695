// A page that is open for days outlives releases of its server: it goes on with the scripts it has, and says so.
import { byId, setText } from "./element.js";

export class Release {
  #first = null;
  #button = byId("release");

  constructor() {
    this.#button.addEventListener("click", () => location.reload());
  }

  /** The version of the server that has just answered; the first is taken for the page's own. */
  seen(version) {
    this.#first ??= version;
    const other = version !== this.#first;
    if (other) {
      setText(this.#button, `Reload for ${version}`);
      this.#button.title = `The server has been updated to ${version}; this page is still that of ${this.#first}.`;
    }
    this.#button.hidden = !other;
  }
}
