// Keeps elements in step with a list: what stays is changed in place, so that focus and buttons survive.

/**
 * Makes the children of `place` those of `items`, in their order. `make(item)` makes an element with a method
 * `show(item)`; text only ever comes in as text nodes.
 */
export function keep(place, items, key, make) {
  const known = new Map([...place.children].map((child) => [child.dataset.key, child]));
  let next = place.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let child = known.get(name);
    known.delete(name);
    if (child === undefined) {
      child = make(item);
      child.dataset.key = name;
    }
    if (child === next) next = next.nextElementSibling;
    else place.insertBefore(child, next);
    child.show(item);
  }
  for (const gone of known.values()) leave(place, gone);
}

/** Takes a row away; who works with the keyboard goes on at its neighbour. */
function leave(place, gone) {
  const focused = gone.contains(document.activeElement);
  const neighbour = gone.nextElementSibling ?? gone.previousElementSibling;
  gone.remove();
  if (!focused) return;
  const next = neighbour?.querySelector("button:not(:disabled), a[href]") ?? place.closest("section")?.querySelector("h2");
  next?.focus();
}

/** An element with a class and text, or children. */
export function make(name, className = "", ...content) {
  const made = document.createElement(name);
  if (className !== "") made.className = className;
  made.append(...content);
  return made;
}

/** Sets text only when it differs, so that a selection survives. */
export function tell(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function pill(element, [kind, text]) {
  element.className = `pill ${kind}`;
  tell(element, text);
}

/** Switches a button on or off; it stays off while the gateway is away. */
export function enable(button, is) {
  button.dataset.wanted = is ? "on" : "off";
  button.disabled = !is || button.dataset.off !== undefined;
}

export function button(className, text, action) {
  const made = make("button", className, text);
  made.type = "button";
  made.addEventListener("click", action);
  return made;
}
