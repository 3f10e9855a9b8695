// Which panels are shown, in which order and how large: chosen in a dialog, kept in the browser.
import { byId, element, setAttribute, setText } from "./element.js";
import { keep, load } from "./storage.js";

const STORED = "layout";
const SIZES = { normal: "Normal", wide: "Wide", full: "Full width" };

const FULL = ["alerts", "counts"]; // until another size is chosen

/** The stored layout as far as it still makes sense: [{id, shown, size}] with every panel of the page once. */
function stored(names) {
  const sizeOf = (id) => (FULL.includes(id) ? "full" : "normal");
  let kept = [];
  try {
    const parsed = JSON.parse(load(STORED) ?? "[]");
    if (Array.isArray(parsed)) kept = parsed;
  } catch {
    // Written by another version or by hand: begin anew.
  }
  const chosen = new Map();
  for (const one of kept) {
    if (one !== null && names.has(one?.id)) chosen.set(one.id, { id: one.id, shown: one.shown !== false, size: Object.hasOwn(SIZES, one.size) ? one.size : sizeOf(one.id) });
  }
  const panels = [...chosen.values()];
  // A panel that the stored layout does not know yet stands where it would without one.
  [...names.keys()].forEach((id, place, ids) => {
    if (chosen.has(id)) return;
    const before = panels.findIndex((panel) => panel.id === ids[place - 1]);
    panels.splice(before + 1, 0, { id, shown: true, size: sizeOf(id) });
  });
  return { panels, custom: kept.length > 0 };
}

export class Layout {
  #page = document.querySelector("main.page");
  #dialog = byId("layout");
  #rows = byId("layout-rows");
  #said = byId("layout-said");
  #names;
  #panels;
  #custom;

  constructor() {
    this.#names = new Map([...this.#page.querySelectorAll(":scope > [data-panel]")].map((node) => [node.id, node.dataset.panel]));
    ({ panels: this.#panels, custom: this.#custom } = stored(this.#names));
    byId("layout-open").addEventListener("click", () => this.open());
    byId("layout-reset").addEventListener("click", () => this.#reset());
    this.#apply();
  }

  open() {
    this.#draw();
    this.#dialog.showModal();
  }

  /** Whoever wants to go to a hidden panel wants it shown. */
  reveal(id) {
    const panel = this.#panels.find((one) => one.id === id);
    if (!this.#custom || panel === undefined || panel.shown) return;
    panel.shown = true;
    keep(STORED, JSON.stringify(this.#panels));
    this.#apply();
  }

  #change(change, focused) {
    change();
    this.#custom = true;
    keep(STORED, JSON.stringify(this.#panels));
    this.#apply();
    this.#draw();
    this.#rows.querySelector(focused)?.focus();
  }

  #reset() {
    keep(STORED, null);
    ({ panels: this.#panels, custom: this.#custom } = stored(this.#names));
    this.#apply();
    this.#draw();
  }

  #apply() {
    this.#page.classList.toggle("custom", this.#custom);
    for (const { id, shown, size } of this.#panels) {
      const node = byId(id);
      node.classList.toggle("unshown", this.#custom && !shown);
      setAttribute(node, "data-size", this.#custom ? size : null);
    }
    // The order of the document is the order of the keyboard and of a screen reader, too.
    if (this.#custom) this.#page.append(...this.#panels.map(({ id }) => byId(id)));
    else this.#page.append(...[...this.#names.keys()].map(byId));
  }

  #draw() {
    this.#rows.replaceChildren(
      ...this.#panels.map((panel, place) => {
        const name = this.#names.get(panel.id);
        const shown = element("input", { type: "checkbox", id: `layout-${panel.id}` });
        shown.checked = panel.shown;
        shown.addEventListener("change", () => this.#change(() => (panel.shown = shown.checked), `#layout-${panel.id}`));
        const size = element(
          "select",
          { "aria-label": `Size of ${name}`, "data-size-of": panel.id },
          ...Object.entries(SIZES).map(([value, text]) => element("option", { value, text, selected: value === panel.size })),
        );
        size.addEventListener("change", () => this.#change(() => (panel.size = size.value), `[data-size-of="${panel.id}"]`));
        const move = (by, text, label) => {
          const button = element("button", { type: "button", text, "aria-label": `${label} ${name}`, "data-move": `${panel.id}${by}` });
          button.disabled = place + by < 0 || place + by >= this.#panels.length;
          button.addEventListener("click", () => this.#move(place, by));
          return button;
        };
        return element(
          "li",
          {},
          element("label", { for: shown.id }, shown, element("span", {}, name, this.#absent(panel.id))),
          size,
          move(-1, "↑", "Move up"),
          move(1, "↓", "Move down"),
        );
      }),
    );
  }

  /** Where a panel appears that is not on this page now. */
  #absent(id) {
    const { hidden, dataset } = byId(id);
    return hidden && dataset.absent ? element("span", { class: "note", text: ` ${dataset.absent}` }) : null;
  }

  #move(place, by) {
    const { id } = this.#panels[place];
    setText(this.#said, `${this.#names.get(id)} is panel ${place + by + 1} of ${this.#panels.length} now.`);
    this.#change(() => this.#panels.splice(place + by, 0, ...this.#panels.splice(place, 1)), `[data-move="${id}${by}"]:enabled, [data-move="${id}${-by}"]`);
  }
}
