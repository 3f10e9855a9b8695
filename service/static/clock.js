// The server's clock as far as its answers tell it: durations and "a minute ago" must not depend on ours.

const WORTH_CORRECTING_S = 2; // the Date header counts whole seconds, and an answer takes its time

let ahead = 0;

/** Take the time of an answer from its Date header. */
export function noteServerTime(header) {
  const at = Date.parse(header ?? "");
  if (Number.isNaN(at)) return;
  const difference = at / 1000 + 0.5 - Date.now() / 1000;
  ahead = Math.abs(difference) > WORTH_CORRECTING_S ? difference : 0;
}

/** A time of ours, milliseconds as Date.now(), in Unix seconds by the server's clock. */
export function byServer(at) {
  return at / 1000 + ahead;
}

/** Unix seconds by the server's clock. */
export function serverNow() {
  return byServer(Date.now());
}
