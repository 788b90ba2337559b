// Line charts of a few series, drawn as SVG.

import { POINTS } from "./rates.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = POINTS - 1;
const HEIGHT = 100;

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** The next of 1, 2, 5, 10, … that is not below `value`. */
export function ceiling(value) {
  if (!(value > 1)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999_999);
}

/** A path through the values, the newest at the right edge. */
export function path(values, top) {
  const start = WIDTH - (values.length - 1);
  const points = values.map((value, index) => `${start + index} ${(HEIGHT * (1 - value / top)).toFixed(2)}`);
  return points.length < 2 ? "" : `M${points.join("L")}`;
}

export class Chart {
  #place;
  #paths;
  #area;
  #top;
  #format;
  #name;

  /** Draws into `place`; `names` are classes of the lines. */
  constructor(place, name, format, names = ["one", "two"]) {
    this.#place = place;
    this.#format = format;
    this.#name = name;
    const svg = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    this.#area = element("path", { class: "area" });
    svg.append(element("path", { class: "base", d: `M0 ${HEIGHT}H${WIDTH}` }), this.#area);
    this.#paths = names.map((line) => element("path", { class: `line ${line}` }));
    svg.append(...this.#paths);
    this.#top = document.createElement("span");
    this.#top.className = "top-label";
    place.setAttribute("role", "img");
    place.append(svg, this.#top);
  }

  draw(...series) {
    const top = ceiling(Math.max(0, ...series.flat()));
    for (const [index, line] of this.#paths.entries()) line.setAttribute("d", path(series[index] ?? [], top));
    const first = path(series[0], top);
    const start = WIDTH - (series[0].length - 1);
    this.#area.setAttribute("d", first === "" ? "" : `${first}L${WIDTH} ${HEIGHT}L${start} ${HEIGHT}Z`);
    this.#top.textContent = this.#format(top);
    const now = series.map((values) => this.#format(values.at(-1) ?? NaN)).join(" and ");
    this.#place.setAttribute("aria-label", `${this.#name}, the last two minutes; now ${now}`);
  }
}
