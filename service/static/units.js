// Numbers with their units, as a person reads them; one that is not known is said so, never a zero or a blank.

export const UNKNOWN = "unknown";

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

const known = (value) => typeof value === "number" && Number.isFinite(value);
const two = (value) => String(value).padStart(2, "0");

/** Seconds as "45 s", "2 m 13 s", "1 h 04 m" or "3 d 2 h". */
export function duration(seconds) {
  if (!known(seconds)) return UNKNOWN;
  const s = Math.max(0, seconds);
  if (s < 0.1) return "< 0.1 s";
  if (s < 10) return `${(Math.floor(s * 10) / 10).toFixed(1)} s`;
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m ${two(Math.floor(s % 60))} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} m`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** Running seconds without tenths, so that a ticking number keeps its width. */
export function elapsed(seconds) {
  if (!known(seconds)) return UNKNOWN;
  return seconds < 60 ? `${Math.max(0, Math.floor(seconds))} s` : duration(seconds);
}

function rough(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} m`;
  if (seconds < 129600) return `${(Math.round(seconds / 360) / 10).toString()} h`;
  return `${Math.round(seconds / 86400)} d`;
}

/** How long ago a Unix time is, `now` by the same clock: "just now", "12 s ago", "3 m ago". */
export function ago(at, now) {
  if (!known(at)) return UNKNOWN;
  const seconds = now - at;
  if (seconds < 1) return "just now";
  return `${seconds < 60 ? `${Math.floor(seconds)} s` : seconds < 3600 ? `${Math.floor(seconds / 60)} m` : duration(seconds)} ago`;
}

/** An estimate as a range, "40 s – 2 m", one value where both ends read the same. */
export function range(low, high) {
  if (!known(low) || !known(high)) return UNKNOWN;
  const [from, to] = [rough(low), rough(high)];
  if (from === to) return `≈ ${from}`;
  const [fromNumber, fromUnit] = from.split(" ");
  const [toNumber, toUnit] = to.split(" ");
  return fromUnit === toUnit ? `${fromNumber}–${toNumber} ${toUnit}` : `${from} – ${to}`;
}

/** A count, exact below 10,000, "12.3K" above. */
export function count(value) {
  if (!known(value)) return UNKNOWN;
  return value < 10000 ? whole.format(value) : compact.format(value);
}

/** A count in full. */
export function exact(value) {
  return known(value) ? whole.format(value) : UNKNOWN;
}

/** A rate in at most three digits. */
export function rate(value) {
  if (!known(value)) return UNKNOWN;
  return value > 0 && value < 10 ? value.toFixed(1) : count(Math.round(value));
}

/** US dollars; what costs less than a cent keeps its digits. A sum of nothing is unknown: no producer told a price. */
export function dollars(value) {
  if (!known(value) || value === 0) return UNKNOWN;
  return value < 0.01 ? `$${value.toPrecision(2)}` : `$${value.toFixed(2)}`;
}

/** Percent, rounded down: 99.6 is not yet 100. */
export function percent(value) {
  return known(value) ? `${Math.floor(value)} %` : UNKNOWN;
}

/** Local time of day of a Unix time in seconds. */
export function clockTime(at, { tenths = false } = {}) {
  if (!known(at)) return UNKNOWN;
  const date = new Date(at * 1000);
  return tenths ? `${time.format(date)}.${Math.floor(date.getMilliseconds() / 100)}` : time.format(date);
}

/** Local time, with the day where it is not today's. */
export function dayTime(at) {
  if (!known(at)) return UNKNOWN;
  const date = new Date(at * 1000);
  const clock = time.format(date).slice(0, 5);
  return date.toDateString() === new Date().toDateString() ? clock : `${day.format(date)} ${clock}`;
}

/** The same moment in UTC, for the tooltip of a local time. */
export function utc(at) {
  if (!known(at) || Math.abs(at) > 8.64e12) return "";
  return new Date(at * 1000).toISOString().replace("T", " ").replace("Z", " UTC");
}

/** "a thing" or "3 things". */
export function counted(value, one, many = `${one}s`) {
  return `${exact(value)} ${value === 1 ? one : many}`;
}
