// Producers' text made safe to look at: bounded in length, with the characters shown that would reorder a line.

// Overrides and embeddings make "gpj.exe" read as "exe.jpg" and can reach beyond their own element; the marks
// U+200E, U+200F and U+061C are ordinary in Arabic and Hebrew text and stay. C0 and C1 controls are invisible.
// eslint-disable-next-line no-control-regex
const DECEPTIVE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

// Marks piled on one character are drawn over the lines around it, or make a run that nothing can break. Written
// languages need no more than five.
const PILE = /(\p{M}{8})(\p{M}+)/gu;

/** `value` as text with deceptive characters written out, as in ⟦U+202E⟧; line breaks and tabs stay. */
export function plain(value) {
  return String(value)
    .replace(DECEPTIVE, (character) => `⟦U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟧`)
    .replace(PILE, (_, kept, left) => `${kept}⟦+${[...left].length} marks⟧`);
}

/** `value` on one line in at most `limit` UTF-16 units, and how many more there were. */
export function clip(value, limit) {
  const whole = String(value);
  let end = Math.min(whole.length, limit);
  // Half a surrogate pair would show as a broken character.
  if (end < whole.length && /[\ud800-\udbff]/.test(whole[end - 1])) end -= 1;
  return { text: plain(whole.slice(0, end)).replace(/\s*[\r\n\u2028\u2029]+\s*/g, " ⏎ "), more: whole.length - end };
}

/** `clip` for a place that cannot grow: a cut is marked by an ellipsis. */
export function short(value, limit) {
  const { text, more } = clip(value, limit);
  return more > 0 ? `${text}…` : text;
}
