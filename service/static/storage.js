// What the browser keeps of a person's choices. Storage may be forbidden or full: then they last until the reload.

/** The stored text, or null. */
export function load(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

/** Keep the text; null forgets it. */
export function keep(name, text) {
  try {
    if (text === null) localStorage.removeItem(name);
    else localStorage.setItem(name, text);
  } catch {
    // Nothing to be done, and nothing that is worth a message.
  }
}
