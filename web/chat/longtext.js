// Texts of any length on a page that stays quick: the beginning is shown, and all of it on request, piece by piece.
//
// In: a text. Out: an element that shows it. Invariant: no step lays out more than a piece of some thousand characters.

import { element } from "./dom.js";

/** Characters shown of a text before the reader asks for more. */
export const SHOWN_MAX = 2_000;
/** Characters of one piece; the browser lays out those in view only. */
const PIECE = 8_000;
const PIECES_PER_STEP = 8;
/** Links in one piece: thousands of them are no text for people. */
const LINKS_MAX = 100;

/** Cuts a text into pieces of at most `max` characters, behind a blank where there is one near the end. */
export function* pieces(text, max = PIECE) {
  let start = 0;
  while (start < text.length) {
    let end = Math.min(start + max, text.length);
    if (end < text.length) {
      const window = text.slice(end - 200, end);
      const blank = Math.max(window.lastIndexOf(" "), window.lastIndexOf("\n"));
      if (blank >= 0) end += blank + 1 - window.length;
      // Never between the two halves of a character.
      else if (/[\ud800-\udbff]/.test(text[end - 1])) end -= 1;
    }
    yield text.slice(start, end);
    start = end;
  }
}

/** The first `max` characters of a text in one line, for previews and for reading aloud. */
export function excerpt(text, max = 160) {
  const beginning = text.slice(0, max * 2).replace(/\s+/g, " ").trim();
  return beginning.length < max && text.length <= max * 2 ? beginning : `${[...beginning].slice(0, max).join("")}…`;
}

/** Fills `body` with a text; returns the control that shows all of it, or null when all is shown. */
export function fillText(body, text, { cut = false } = {}) {
  if (text.length <= SHOWN_MAX) {
    body.append(...linked(text));
    return cut ? element("p", "more", "The rest of this text was not kept in this browser.") : null;
  }
  const beginning = pieces(text, SHOWN_MAX).next().value;
  body.append(...linked(beginning), "…");
  const size = new Intl.NumberFormat().format(text.length);
  const all = element("button", "more", cut ? `Show all that was kept (${size} characters)` : `Show all (${size} characters)`);
  all.type = "button";
  all.addEventListener("click", () => {
    all.remove();
    showAll(body, pieces(text));
  });
  return all;
}

// A few pieces per picture, so that scrolling and writing go on meanwhile.
function showAll(body, rest) {
  body.replaceChildren();
  body.classList.add("long");
  const step = () => {
    for (let n = 0; n < PIECES_PER_STEP; n += 1) {
      const { value, done } = rest.next();
      if (done) return;
      body.append(element("span", "piece", ...linked(value)));
    }
    if (body.isConnected) requestAnimationFrame(step);
  };
  step();
}

/** Splits text into text and links. Only http and https become links; everything else stays text. */
function linked(text) {
  const parts = [];
  let end = 0;
  // A link ends before characters that turn its direction or cannot be seen: it shows where it leads.
  for (const match of text.matchAll(/https?:\/\/[^\s<>"'\p{C}]{0,2000}[^\s<>"'\p{C}.,;:!?)\]}]/gu)) {
    if (parts.length >= LINKS_MAX * 2) break;
    if (!URL.canParse?.(match[0])) continue;
    const link = element("a", "", match[0]);
    link.href = match[0];
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    parts.push(text.slice(end, match.index), link);
    end = match.index + match[0].length;
  }
  parts.push(text.slice(end));
  return parts.filter((part) => part !== "");
}
