// Events as a person takes them along: lines to paste, NDJSON, CSV. The columns are those of `sessions export`.
import { utc } from "./units.js";

const COLUMNS = [
  "seq", "received_at", "timestamp", "type", "session_id", "step", "message", "progress", "current_item", "total_items",
  "error", "error_type", "fatal", "failed_items", "worker_info", "usage", "data", "id", "traceparent",
];
const AT_ONCE = 500; // then the page may draw
const FORMULA = /^[=+\-@\t\r]/; // a spreadsheet would run it; with the quote before it, it shows it

function cell(value) {
  if (value === undefined || value === null) return "";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  let text = typeof value === "string" ? value : JSON.stringify(value);
  if (typeof value === "string" && FORMULA.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function row(event) {
  const other = Object.fromEntries(Object.entries(event).filter(([name]) => !COLUMNS.includes(name)));
  return `${[...COLUMNS.map((name) => cell(event[name])), Object.keys(other).length ? cell(other) : ""].join(",")}\r\n`;
}

const FORMS = {
  ndjson: { type: "application/x-ndjson", head: "", line: ({ event }) => `${JSON.stringify(event)}\n` },
  csv: { type: "text/csv", head: `${[...COLUMNS, "other"].join(",")}\r\n`, line: ({ event }) => row(event) },
  text: {
    type: "text/plain",
    head: "",
    line: ({ at, event, message }) => `${[`#${event.seq}`, utc(at), event.type, event.session_id, event.step, message, event.error].filter(Boolean).join("  ")}\n`,
  },
};

/** The entries as a Blob of "ndjson", "csv" or "text"; markers are not events and left out. */
export async function fileOf(entries, form) {
  const { type, head, line } = FORMS[form];
  const parts = [head];
  const events = entries.filter((entry) => !entry.marker);
  for (let start = 0; start < events.length; start += AT_ONCE) {
    parts.push(events.slice(start, start + AT_ONCE).map(line).join(""));
    await new Promise((resolve) => setTimeout(resolve));
  }
  return new Blob(parts, { type: `${type};charset=utf-8` });
}

/** Offer a Blob as a download. */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
