// From counters to rates per second: kept for the last two minutes.

/** Points a chart shows. */
export const POINTS = 120;

export class Rates {
  #before = null;
  #counters;
  series;

  /** `counters` become rates, `gauges` are kept as they are. */
  constructor(counters, gauges) {
    this.#counters = counters;
    this.series = Object.fromEntries([...counters, ...gauges].map((name) => [name, []]));
  }

  /** Takes the sources of one answer ({name, counters}), which came at `now` (milliseconds, monotonic). */
  take(sources, gauges, now) {
    const counters = new Map(sources.map((source) => [source.name, source.counters]));
    const before = this.#before;
    this.#before = { counters, now };
    for (const [name, value] of Object.entries(gauges)) this.#push(name, value);
    if (before === null || now <= before.now) return;
    const seconds = (now - before.now) / 1000;
    for (const name of this.#counters) {
      let sum = 0;
      for (const [source, values] of counters) {
        // A source that was not there before, or a server that began anew, counts from its next answer on.
        const step = values[name] - (before.counters.get(source)?.[name] ?? values[name]);
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
