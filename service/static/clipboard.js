// Text to the clipboard, also where the page came over plain HTTP from another machine.
import { element } from "./element.js";

/** Throws where the browser refuses. */
export async function copy(text) {
  if (navigator.clipboard !== undefined) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Outside a secure context there is only the old way: from a field that is selected.
  const focused = document.activeElement;
  const field = element("textarea", { class: "unseen", "aria-hidden": "true", readonly: true });
  field.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  focused?.focus();
  if (!copied) throw new Error("this browser copies only over HTTPS or on the server's own machine.");
}

const SAID_MS = 2000;

/** A button named `label` that reads `words`, copies what `text()` returns, and says whether it did. */
export function copyButton(label, text, words = "Copy") {
  const button = element("button", { type: "button", class: "copy", text: words, "aria-label": label, title: label });
  let timer = null;
  const say = (said) => {
    button.textContent = said;
    button.setAttribute("aria-label", said === words ? label : said);
  };
  button.addEventListener("click", async () => {
    try {
      await copy(text());
      say("Copied");
    } catch {
      say("Not copied");
    }
    clearTimeout(timer);
    timer = setTimeout(() => say(words), SAID_MS);
  });
  return button;
}
