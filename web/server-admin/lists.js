// Tables of rows, and lists in pages.

import { button, enable, make, tell } from "./rows.js";
import { refreshAnew } from "./shell.js";

/** Rows of a page. */
export const PAGE = 100;
/** Rows of a list beside others. */
export const SHORT_PAGE = 25;

export const userLink = (id) => {
  const link = make("a", "", id);
  link.href = `#user/${encodeURIComponent(id)}`;
  return link;
};

export const time = (text) => (text === null ? "–" : new Date(text).toLocaleString());

/** A row: `columns` are [label, class, make content of the item], `tools` its buttons. */
export function row(columns, tools) {
  return (first) => {
    const cells = columns.map(([label, kind]) => {
      const cell = make("td", kind);
      cell.dataset.label = label;
      return cell;
    });
    const made = make("tr", "", ...cells);
    if (tools !== undefined) made.append(make("td", "tools", ...tools(first)));
    made.show = (item) => {
      for (const [index, [, , of]] of columns.entries()) {
        const content = of(item);
        if (typeof content === "string") tell(cells[index], content);
        else if (cells[index].textContent !== content.textContent) cells[index].replaceChildren(content);
      }
    };
    return made;
  };
}

/** A button that says for whom it is. */
export function tool(text, label, action) {
  const made = button("plain small", text, action);
  made.setAttribute("aria-label", label);
  return made;
}

/** Walks through pages of which each tells where the next one begins. */
export class Pages {
  #trail = [];
  #next = null;
  #about = make("span");
  #first = button("plain small", "First page", () => this.#go([]));
  #forward = button("plain small", "Next page", () => this.#go([...this.#trail, this.#next]));
  #place;

  constructor(place) {
    this.#place = place;
    place.append(this.#about, this.#first, this.#forward);
  }

  /** Begins with the first page. */
  reset() {
    this.#trail = [];
    this.#place.hidden = true;
  }

  /** Where the page shown begins; `null` = the first one. */
  get after() {
    return this.#trail.at(-1) ?? null;
  }

  show(count, next) {
    this.#next = next;
    this.#place.hidden = this.#trail.length === 0 && next === null;
    tell(this.#about, `Page ${this.#trail.length + 1}, ${count} rows`);
    enable(this.#first, this.#trail.length > 0);
    enable(this.#forward, next !== null);
  }

  #go(trail) {
    this.#trail = trail;
    refreshAnew();
  }
}

/** A form with one field that leads to a user. */
export function findsUser(form, field) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = `#user/${encodeURIComponent(field.value.trim())}`;
    field.value = "";
  });
}
