// The table of live sockets.

import { bytes, span } from "./format.js";
import { button, make, tell } from "./rows.js";

const COLUMNS = [
  ["Id", ""],
  ["Endpoint", ""],
  ["Dialect", ""],
  ["Client", ""],
  ["Upstream", ""],
  ["Age", "right"],
  ["From client", "right"],
  ["To client", "right"],
];

export const sessionRow = (close) => (first) => {
  const cells = COLUMNS.map(([label, side]) => {
    const cell = make("td", side);
    cell.dataset.label = label;
    return cell;
  });
  const end = button("plain small", "Close", () => close(first.id));
  end.setAttribute("aria-label", `Close session ${first.id}`);
  const row = make("tr", "", ...cells, make("td", "tools", end));
  row.show = (session) => {
    const texts = [
      session.parent === null ? String(session.id) : `${session.id} in ${session.parent}`,
      session.endpoint ?? "carries others",
      session.dialect,
      session.client ?? "–",
      session.upstream ?? "–",
      span(session.age_seconds),
      bytes(session.bytes_in),
      bytes(session.bytes_out),
    ];
    for (const [index, text] of texts.entries()) tell(cells[index], text);
    row.title = session.request ?? "";
  };
  return row;
};
