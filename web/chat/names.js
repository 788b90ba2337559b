// How ids look. An id is whatever its owner chose, so it may be made to look like another one.
//
// In: ids. Out: what is shown of them. Invariant: two ids that differ in what cannot be seen look different, and text
// around an id keeps its direction.

/** Id 0 is the server's own voice: administrators and the REST API. */
const SERVICE = "Service";

/** Format, control, unassigned and private characters, and blanks other than a single space between others. */
const INVISIBLE = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}|^ | $| (?= )|[\u115f\u1160\u3164\uffa0\u2800]/gu;

const escaped = (char) => (char === " " ? "␣" : `⟨U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);

/** The id as it is shown, with everything invisible spelled out. */
export function nameOf(id) {
  if (id === "0") return SERVICE;
  const name = id.replace(INVISIBLE, escaped);
  // Nobody but the server is called so.
  return name.normalize("NFKC").toLowerCase() === SERVICE.toLowerCase() ? `“${name}”` : name;
}

const SCRIPTS = [/\p{Script=Latin}/u, /\p{Script=Cyrillic}/u, /\p{Script=Greek}/u, /\p{Script=Armenian}/u, /\p{Script=Cherokee}/u];

/** A warning about an id that may imitate another one, or "". */
export function warningOf(id) {
  if (id.search(INVISIBLE) >= 0) return "This id has invisible characters: it may imitate another one.";
  if (SCRIPTS.filter((script) => script.test(id)).length > 1) return "This id mixes alphabets: it may imitate another one.";
  // Full-width and mathematical letters, ligatures, digits of other scripts.
  if (id.normalize("NFKC") !== id.normalize("NFC") || /(?![0-9])\p{Nd}/u.test(id)) return "This id has unusual characters: it may imitate another one.";
  return "";
}
