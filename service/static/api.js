// Reads from the monitor server over HTTP: JSON or an error that says what happened, always within a time limit.
import { noteServerTime } from "./clock.js";

const TIMEOUT_MS = 8000;

/** What a read ended in: `status` is the HTTP status, 0 where no answer came. */
export class ReadError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Return {body, lag} of a GET; `lag` is how many events the answer is known to be behind. */
export async function read(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== null && value !== ""));
  const url = query.size ? `${path}?${query}` : path;
  let response;
  try {
    response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    throw new ReadError(0, error.name === "TimeoutError" ? "no answer within 8 s" : "the server cannot be reached");
  }
  noteServerTime(response.headers.get("Date"));
  let body = null;
  try {
    body = await response.json();
  } catch (error) {
    if (response.ok) throw new ReadError(response.status, `the answer of ${path} is not JSON`);
  }
  if (!response.ok) throw new ReadError(response.status, body?.detail ?? body?.title ?? `HTTP ${response.status}`);
  return { body, lag: Number(response.headers.get("X-Lag-Events") ?? 0) };
}
