// Numbers for people.

const UNITS = ["", "k", "M", "G", "T", "P"];

/** Three digits and a unit: 0, 999, 1.23k. */
export function short(value) {
  if (!Number.isFinite(value)) return "–";
  if (value < 1000) return value < 10 ? String(Math.round(value * 10) / 10) : String(Math.round(value));
  let unit = 0;
  while (value >= 999.5 && unit + 1 < UNITS.length) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)}${UNITS[unit]}`;
}

export function bytes(value) {
  if (!Number.isFinite(value)) return "–";
  const text = short(value);
  const unit = /[a-zA-Z]$/.test(text) ? text.slice(-1) : "";
  return `${unit === "" ? text : text.slice(0, -1)} ${unit}B`;
}

/** Seconds in the two largest units: 5 s, 3 min 20 s, 2 h 5 min. */
export function span(seconds) {
  const parts = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [Math.floor(seconds) % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0 s";
  const shown = parts.slice(first, first + 2).filter(([count]) => count > 0);
  return shown.map(([count, unit]) => `${count} ${unit}`).join(" ");
}
