// How fast a session's tokens come: over the last half minute where this page has watched it, else on the whole.

const OVER_MS = 30000;
const LEAST_MS = 5000; // over less, one answer would be a flood and the next a drought

export class TokenSpeed {
  #samples = [];
  #attempt = null;

  /** {speed, over}: output tokens a second and, in words, over what; `readAt` null for a moment of the past. */
  of({ usage, duration_s: took, ended_at: ended, attempt }, readAt) {
    const mean = { speed: took > 0 ? usage.output_tokens / took : null, over: "mean of the whole attempt" };
    if (readAt === null || ended !== null) return mean;
    if (this.#attempt !== attempt) this.#samples = [];
    this.#attempt = attempt;
    this.#samples.push({ at: readAt, tokens: usage.output_tokens });
    while (this.#samples.length > 2 && this.#samples[1].at <= readAt - OVER_MS) this.#samples.shift();
    const [oldest] = this.#samples;
    const ms = readAt - oldest.at;
    if (ms < LEAST_MS) return mean;
    return { speed: (usage.output_tokens - oldest.tokens) / (ms / 1000), over: `over the last ${Math.round(ms / 1000)} s` };
  }
}
