// From counters to rates per second: kept for the last two minutes.

/** Points a chart shows. */
export const POINTS = 120;
export const COUNTERS = ["opened", "refused", "messages_in", "messages_out", "bytes_in", "bytes_out"];

export class Rates {
  #before = null;
  series = Object.fromEntries([...COUNTERS, "sessions"].map((name) => [name, []]));

  /** Takes the endpoints of one answer, which came at `now` (milliseconds, monotonic). */
  take(endpoints, sessions, now) {
    const counters = new Map(endpoints.map((endpoint) => [endpoint.name, endpoint.counters]));
    const before = this.#before;
    this.#before = { counters, now };
    this.#push("sessions", sessions);
    if (before === null || now <= before.now) return;
    const seconds = (now - before.now) / 1000;
    for (const name of COUNTERS) {
      let sum = 0;
      for (const [endpoint, values] of counters) {
        // An endpoint that was not there before, or a gateway that began anew, counts from its next answer on.
        const step = values[name] - (before.counters.get(endpoint)?.[name] ?? values[name]);
        sum += Math.max(step, 0);
      }
      this.#push(name, sum / seconds);
    }
  }

  /** The newest value, NaN if there is none. */
  last(name) {
    return this.series[name].at(-1) ?? NaN;
  }

  #push(name, value) {
    const series = this.series[name];
    series.push(value);
    if (series.length > POINTS) series.shift();
  }
}
